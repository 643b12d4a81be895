"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import type { ModelDetail } from "../../server/models/views.ts";
import { WaysOn } from "../_activations/ways-on.tsx";
import { type Tile, Tiles } from "../_charts/metric-tiles.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { TokenizationPanel } from "../_tokenizations/tokenization-panel.tsx";
import { classNames } from "../_ui/class-names.ts";
import { DeleteThing } from "../_ui/delete-thing.tsx";
import { formatBytes, formatCompact, formatCount } from "../_ui/format.ts";
import { OnePage } from "../_ui/page-states.tsx";
import { ThingHeader } from "../_ui/thing-header.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { WorkState } from "../_ui/work-state.tsx";
import { HookPoints } from "./hook-points.tsx";
import { ModelFactPanels } from "./model-facts.tsx";
import { modelExplanations, sourceWords, usesWords } from "./model-words.ts";
import { useModelActions } from "./use-model-actions.ts";

const busyRefreshMs = 700;
const tokensRefreshMs = 15_000;

/** One language model: what it is, where its activations can be read, what was tokenized for it. */
export function ModelPage({ id }: { id: string }) {
  const trpc = useTRPC();
  const visible = useVisible();
  const query = useQuery(
    trpc.models.get.queryOptions(
      { id },
      {
        refetchInterval: ({ state }) =>
          visible && state.data?.status === "importing" ? busyRefreshMs : false,
      },
    ),
  );
  return (
    <OnePage what="model" query={query} back={{ href: "/models", label: "Go to the models" }}>
      {(model) => <Page model={model} />}
    </OnePage>
  );
}

function tilesOf({ parameters, n_layers, d_model, n_ctx, d_vocab }: ModelDetail): Tile[] {
  return [
    {
      label: "Parameters",
      explanation: modelExplanations.parameters,
      value: formatCompact(parameters ?? 0),
    },
    { label: "Layers", explanation: modelExplanations.layers, value: formatCount(n_layers ?? 0) },
    { label: "d_model", explanation: modelExplanations.d_model, value: formatCount(d_model ?? 0) },
    {
      label: "Context",
      explanation: modelExplanations.context,
      value: formatCount(n_ctx ?? 0),
      detail: "tokens",
    },
    { label: "Vocabulary", explanation: modelExplanations.vocabulary, value: formatCount(d_vocab ?? 0) },
  ];
}

function Page({ model }: { model: ModelDetail }) {
  const system = useSystemStatus();
  const { cancel, retry, pending } = useModelActions();
  const { id, name, status, spec } = model;
  return (
    <article>
      <Header model={model} />
      <WorkState
        status={status}
        what={`Import of ${name}`}
        progress={model.progress}
        reason={model.reason}
        pending={pending}
        onCancel={() => cancel.mutate({ id })}
        onRetry={() => retry.mutate({ id })}
        className="mb-5"
      />
      {status === "ready" ? (
        <div className="mb-4">
          <Tiles label="Sizes" tiles={tilesOf(model)} />
        </div>
      ) : null}
      <div
        className={classNames(
          "grid items-start gap-4",
          status === "ready" ? "lg:grid-cols-[minmax(0,1fr)_22rem]" : "max-w-2xl",
        )}
      >
        {status === "ready" ? (
          <div className="flex min-w-0 flex-col gap-4">
            <TokenizationPanel of={{ kind: "model", id, tokenizer: model.has_tokenizer === true }} />
            {spec ? <HookPoints spec={spec} modelId={id} /> : null}
          </div>
        ) : null}
        <div className="flex min-w-0 flex-col gap-4">
          <ModelFactPanels model={model} home={system.data?.home ?? null} />
        </div>
      </div>
    </article>
  );
}

function Header({ model }: { model: ModelDetail }) {
  const trpc = useTRPC();
  const router = useRouter();
  const { succeed } = useToasts();
  const queryClient = useQueryClient();
  const visible = useVisible();
  const remove = useMutation(
    trpc.models.delete.mutationOptions({
      onSuccess: async () => {
        succeed("Model deleted", model.name);
        router.push("/models");
        await queryClient.invalidateQueries({ queryKey: trpc.models.list.pathKey() });
      },
    }),
  );
  const { id, name, origin, source, status, uses } = model;
  const tokens = useQuery(
    trpc.tokenizations.list.queryOptions(
      { model_id: id, status: ["ready"], limit: 1 },
      { enabled: status === "ready", refetchInterval: visible ? tokensRefreshMs : false },
    ),
  );
  const usable = status === "ready" && (tokens.data?.items.length ?? 0) > 0;
  const used = usesWords(uses);
  return (
    <ThingHeader
      list={{ href: "/models", label: "Models" }}
      from={sourceWords(source)}
      name={name}
      actions={
        <>
          {usable ? <WaysOn model={id} /> : null}
          {status === "importing" ? null : (
            <DeleteThing thing={model} remove={remove}>
              {used === null
                ? `${model.bytes === null ? "What was taken in so far goes" : `Its ${formatBytes(model.bytes)} on disk go`} with it. What it was imported from stays.`
                : `It is used by ${used}. What uses it must be deleted first.`}
            </DeleteThing>
          )}
        </>
      }
    >
      {origin === name || source.kind === "sample" ? null : (
        <p className="num mt-0.5 text-xs break-all text-ink-2">{origin}</p>
      )}
    </ThingHeader>
  );
}
