"use client";

import { Plus, Trash2 } from "lucide-react";
import type { Architecture } from "../../gpu/sae/architecture.ts";
import type { CaptureBegun } from "../_activations/capture-dialog.tsx";
import { HookField } from "../_activations/hook-field.tsx";
import { ModelAndTokens } from "../_activations/model-and-tokens.tsx";
import type { ModelAndTokensChoice } from "../_activations/use-model-and-tokens.ts";
import { Button, IconButton } from "../_ui/button.tsx";
import { formatCompact, formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Fact, FactColumns } from "../_ui/panel.tsx";
import { LiveOptionFields, type LiveOptions } from "./live-options.tsx";
import { LiveOrDisk } from "./live-or-disk.tsx";
import { mostPlaces, placeNames } from "./places.ts";

const hookPointHelp = {
  help: "Where in the model the activations are read, by TransformerLens’ names. The middle of the residual stream is a good start; a transcoder reads what enters an MLP and predicts what leaves it.",
  source: "TransformerLens; arXiv 2406.11944 (transcoders)",
};

/** Chooses the model, the tokens and the hook points that a run reads while it trains. */
export function SourceLive({
  architecture,
  choice,
  hooks,
  trainingTokens,
  options,
  faults,
  hookFaults,
  onChoose,
  onOptions,
  onCaptured,
}: {
  architecture: Architecture;
  choice: ModelAndTokensChoice;
  /** By place; null where the model has no further hook point. */
  hooks: readonly (string | null)[];
  /** That the run is to see. */
  trainingTokens: number;
  options: LiveOptions;
  /** By option of the source: `model_id`, `tokenization_id`, `eval_every_steps`. */
  faults: ReadonlyMap<string, string>;
  /** By place. */
  hookFaults: ReadonlyMap<string, string>;
  onChoose: (hooks: readonly (string | null)[]) => void;
  onOptions: (options: LiveOptions) => void;
  /** The same activations are being stored instead. */
  onCaptured: (capture: CaptureBegun) => void;
}) {
  const { model, tokenization, points } = choice;
  const several = architecture === "crosscoder";
  const named = placeNames(architecture, hooks.length, "Hook point");
  return (
    <div className="p-4">
      <ModelAndTokens choice={choice} faults={faults}>
        <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-2">
          {named.map((name, place) => (
            <div key={name} className="flex min-w-0 items-start gap-2">
              <HookField
                label={name}
                points={points}
                value={hooks[place] ?? null}
                fault={hookFaults.get(String(place))}
                aside={
                  place === 0 ? <InfoTip about="Hook points of a model" explanation={hookPointHelp} /> : null
                }
                className="flex-1"
                onChange={(hook) => onChoose(hooks.map((one, at) => (at === place ? hook : one)))}
              />
              {several && hooks.length > 2 ? (
                <IconButton
                  label={`Remove ${name}`}
                  className="mt-6 size-8"
                  onClick={() => onChoose(hooks.filter((_, at) => at !== place))}
                >
                  <Trash2 aria-hidden size={14} />
                </IconButton>
              ) : null}
            </div>
          ))}
        </div>
        {several && hooks.length < Math.min(mostPlaces, points.length) ? (
          <Button size="small" className="mt-3" onClick={() => onChoose([...hooks, null])}>
            <Plus aria-hidden size={13} />
            Add a hook point
          </Button>
        ) : null}
        {hookFaults.get("") ? <p className="mt-3 text-xs text-bad">{hookFaults.get("")}</p> : null}
        <LiveOptionFields
          architecture={architecture}
          options={options}
          faults={faults}
          onChange={onOptions}
        />
        {model && tokenization ? (
          <>
            <FactColumns className="mt-4">
              <Fact name="Width">
                <span className="num">
                  {hooks
                    .map((hook) => points.find(({ name }) => name === hook)?.width ?? 0)
                    .map(formatCount)
                    .join(several ? " + " : " → ")}
                </span>
              </Fact>
              <Fact name="Tokens to train on">
                <span className="num">{formatCompact(trainedTokens(tokenization))}</span>
              </Fact>
              <Fact name="Sequences">
                <span className="num">
                  {formatCount(tokenization.n_sequences ?? 0)} × {formatCount(tokenization.context_size)}
                </span>
              </Fact>
              <Fact name="Held out">
                <span className="num">{formatCount(tokenization.held_out_sequences ?? 0)}</span>
                <span className="text-xs text-ink-3"> sequences</span>
              </Fact>
            </FactColumns>
            <LiveOrDisk
              modelId={model.id}
              tokenizationId={tokenization.id}
              hooks={hooks.flatMap((hook) => (hook === null ? [] : [hook]))}
              precision={options.precision}
              trainingTokens={trainingTokens}
              onCaptured={onCaptured}
            />
          </>
        ) : null}
      </ModelAndTokens>
    </div>
  );
}

/** Tokens of text outside the held-out sequences, about: as if text were spread evenly. */
export function trainedTokens(tokenization: {
  n_text_tokens: number | null;
  n_sequences: number | null;
  held_out_sequences: number | null;
}): number {
  const { n_text_tokens, n_sequences, held_out_sequences } = tokenization;
  if (!n_text_tokens || !n_sequences) return 0;
  return Math.max(1, Math.floor(n_text_tokens * (1 - (held_out_sequences ?? 0) / n_sequences)));
}
