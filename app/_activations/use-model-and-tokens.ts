"use client";

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { HookPoint } from "../../gpu/lm/hook-points.ts";
import type { ModelSummary } from "../../server/models/views.ts";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { useTRPC } from "../_data/trpc.ts";

/** A model and tokens that it can read, as they are being chosen. */
export interface ModelAndTokensChoice {
  loading: boolean;
  /** Why the lists could not be had. */
  error: unknown;
  retry: () => void;
  models: readonly ModelSummary[];
  /** Made with the chosen model's tokenizer. */
  tokenizations: readonly TokenizationView[];
  /** The chosen ones; null where there are none yet. */
  model: ModelSummary | null;
  tokenization: TokenizationView | null;
  /** Of the chosen model; empty while they are not known. */
  points: readonly HookPoint[];
  chooseModel: (id: string) => void;
  chooseTokenization: (id: string) => void;
}

export interface GivenSubject {
  model_id?: string | null | undefined;
  tokenization_id?: string | null | undefined;
}

const busyRefreshMs = 1_500;
/** One and the same while nothing is known: what is computed from it would otherwise be new at every render. */
const noPoints: readonly HookPoint[] = [];

/** Whether the model takes sequences as long as these. */
function fits(tokenization: TokenizationView, model: ModelSummary): boolean {
  return tokenization.status === "ready" && tokenization.context_size <= (model.n_ctx ?? 0);
}

/**
 * The choice of a model and its tokens: what was chosen, else what is given, else the newest ready model that has tokens,
 * and its newest tokens that fit. Nothing is asked of the server unless `enabled`.
 */
export function useModelAndTokens(given: GivenSubject, enabled = true): ModelAndTokensChoice {
  const trpc = useTRPC();
  const [modelId, setModelId] = useState<string | null>(null);
  const [tokenizationId, setTokenizationId] = useState<string | null>(null);

  const list = useQuery(
    trpc.models.list.queryOptions(
      { limit: 200 },
      {
        enabled,
        refetchInterval: (query) =>
          query.state.data?.items.some(({ status }) => status === "importing") ? busyRefreshMs : false,
      },
    ),
  );
  const givenTokens = useQuery(
    trpc.tokenizations.get.queryOptions(
      { id: given.tokenization_id ?? "" },
      { enabled: enabled && Boolean(given.tokenization_id) && !given.model_id, retry: false },
    ),
  );
  const models = list.data?.items ?? [];
  const ready = models.filter(({ status }) => status === "ready");
  const wanted = modelId ?? given.model_id ?? givenTokens.data?.model.id;
  const model =
    ready.find(({ id }) => id === wanted) ?? ready.find(({ uses }) => uses.tokenizations > 0) ?? ready[0];

  const detail = useQuery(
    trpc.models.get.queryOptions({ id: model?.id ?? "" }, { enabled: enabled && model !== undefined }),
  );
  const tokens = useQuery(
    trpc.tokenizations.list.queryOptions(
      { model_id: model?.id ?? "", limit: 200 },
      {
        enabled: enabled && model !== undefined,
        refetchInterval: (query) =>
          query.state.data?.items.some(({ status }) => status === "tokenizing") ? busyRefreshMs : false,
      },
    ),
  );
  const tokenizations = tokens.data?.items ?? [];
  const offered = tokenizations.filter(({ status }) => status === "ready");
  const tokenization =
    offered.find(({ id }) => id === tokenizationId) ??
    offered.find(({ id }) => id === given.tokenization_id) ??
    offered.find((one) => model !== undefined && fits(one, model)) ??
    offered[0];

  return {
    loading:
      list.isPending ||
      (model !== undefined && (tokens.isPending || detail.isPending)) ||
      givenTokens.isLoading,
    error: list.error ?? tokens.error ?? detail.error,
    retry: () => {
      for (const query of [list, tokens, detail]) if (query.isError) void query.refetch();
    },
    models,
    tokenizations,
    model: model ?? null,
    tokenization: tokenization ?? null,
    points: detail.data?.hook_points ?? noPoints,
    chooseModel: setModelId,
    chooseTokenization: setTokenizationId,
  };
}
