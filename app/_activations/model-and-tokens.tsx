"use client";

import Link from "next/link";
import { type ReactNode, useId } from "react";
import type { ModelSummary } from "../../server/models/views.ts";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { buttonClass } from "../_ui/button.tsx";
import { SelectBox } from "../_ui/choice.tsx";
import { formatCompact, formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { EmptyState } from "../_ui/panel.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { FieldFrame } from "../_ui/text-field.tsx";
import type { ModelAndTokensChoice } from "./use-model-and-tokens.ts";

function modelDetail({ model_type, n_layers, d_model }: ModelSummary): string {
  return [model_type, `${n_layers} layers`, `width ${formatCount(d_model ?? 0)}`].filter(Boolean).join(" · ");
}

function tokensDetail({
  n_text_tokens,
  context_size,
  dataset,
  held_out_sequences,
}: TokenizationView): string {
  const held = held_out_sequences ? `${formatCount(held_out_sequences)} sequences held out` : "none held out";
  return `${dataset.name} · ${formatCompact(n_text_tokens ?? 0)} tokens in sequences of ${formatCount(context_size)} · ${held}`;
}

/** What is on its way, for somebody who waits for it. */
function onItsWay(names: readonly string[], what: string): string | null {
  if (names.length === 0) return null;
  return `“${names[0]}”${names.length > 1 ? ` and ${names.length - 1} more are` : " is"} being ${what}, and can be chosen when that is done.`;
}

/**
 * Chooses a model and tokens for it. Where one of them is missing, says how to come by it, and shows nothing of
 * `children`, which need both.
 */
export function ModelAndTokens({
  choice,
  faults = new Map(),
  children,
}: {
  choice: ModelAndTokensChoice;
  /** By `model_id` and `tokenization_id`. */
  faults?: ReadonlyMap<string, string>;
  children?: ReactNode;
}) {
  const id = useId();
  const { models, tokenizations, model, tokenization } = choice;
  if (choice.error) {
    return <LoadFailure what="Models and tokens" error={choice.error} onRetry={choice.retry} />;
  }
  if (choice.loading) {
    return (
      <div role="status" className="grid gap-x-5 gap-y-4 sm:grid-cols-2">
        <span className="sr-only">Loading models and tokens</span>
        <Skeleton className="mt-6 h-8" />
        <Skeleton className="mt-6 h-8" />
      </div>
    );
  }
  if (model === null) {
    return (
      <EmptyState
        title="No language model yet"
        action={
          <Link href="/models" className={buttonClass("primary")}>
            Go to the models
          </Link>
        }
      >
        {onItsWay(
          models.filter(({ status }) => status === "importing").map(({ name }) => name),
          "imported",
        ) ?? "Import one from Hugging Face or from a folder; then tokenize a dataset for it."}
      </EmptyState>
    );
  }
  const ready = tokenizations.filter(({ status }) => status === "ready");
  return (
    <>
      <div className="grid gap-x-5 gap-y-4 sm:grid-cols-2">
        <FieldFrame id={`${id}-model`} label="Model" fault={faults.get("model_id")}>
          <SelectBox
            id={`${id}-model`}
            value={model.id}
            invalid={faults.has("model_id")}
            describedBy={faults.has("model_id") ? `${id}-model-note` : undefined}
            choices={models
              .filter(({ status }) => status === "ready")
              .map((one) => ({ value: one.id, label: one.name, detail: modelDetail(one) }))}
            onChange={choice.chooseModel}
          />
        </FieldFrame>
        {tokenization ? (
          <FieldFrame
            id={`${id}-tokens`}
            label="Tokenization"
            fault={faults.get("tokenization_id")}
            aside={
              <InfoTip
                about="Tokenization"
                explanation={{
                  help: "A dataset as the sequences of tokens that the model reads. Only those made with this model’s tokenizer are offered. Special tokens and padding go through the model, but are never trained on.",
                }}
              />
            }
          >
            <SelectBox
              id={`${id}-tokens`}
              value={tokenization.id}
              invalid={faults.has("tokenization_id")}
              describedBy={faults.has("tokenization_id") ? `${id}-tokens-note` : undefined}
              choices={ready.map((one) => ({ value: one.id, label: one.name, detail: tokensDetail(one) }))}
              onChange={choice.chooseTokenization}
            />
          </FieldFrame>
        ) : null}
      </div>
      {tokenization ? (
        children
      ) : (
        <EmptyState
          title={`Nothing is tokenized for ${model.name} yet`}
          action={
            <Link href="/datasets" className={buttonClass("primary")}>
              Go to the datasets
            </Link>
          }
        >
          {onItsWay(
            tokenizations.filter(({ status }) => status === "tokenizing").map(({ name }) => name),
            "tokenized",
          ) ?? "Open a dataset and tokenize it with this model’s tokenizer."}
        </EmptyState>
      )}
    </>
  );
}
