"use client";

import type { Precision } from "../../gpu/lm/precision.ts";
import type { Architecture } from "../../gpu/sae/architecture.ts";
import type { RunSource } from "../../server/runs/views.ts";
import { PrecisionField } from "../_models/precision-field.tsx";
import { InfoTip } from "../_ui/info-tip.tsx";
import { TextField } from "../_ui/text-field.tsx";

/** Options of a live source as typed so far. */
export interface LiveOptions {
  precision: Precision;
  every: string;
  sequences: string;
}

const standardSequences = "64";
export const standardLiveOptions: LiveOptions = { precision: "f32", every: "", sequences: standardSequences };

export function liveOptionsOf(source: Extract<RunSource, { kind: "live" }>): LiveOptions {
  const { precision, eval_every_steps, eval_sequences } = source;
  return { precision, every: String(eval_every_steps ?? ""), sequences: String(eval_sequences) };
}

/** A number where one was typed, else the text, which the server refuses in words. */
function typedNumber(text: string): number | string {
  const number = Number(text.replaceAll(/[\s,_]/g, ""));
  return Number.isFinite(number) ? number : text;
}

/** What is sent; values may be anything, to be judged by the server. A crosscoder is not measured in the model. */
export function sentLiveOptions({ precision, every, sequences }: LiveOptions, architecture: Architecture) {
  const measured = architecture !== "crosscoder";
  return {
    precision,
    eval_every_steps: measured && every.trim() !== "" ? typedNumber(every) : null,
    eval_sequences: typedNumber(measured && sequences.trim() !== "" ? sequences : standardSequences),
  };
}

const explanations = {
  every: {
    help: "Steps between evaluations: the reconstruction takes the place of the activations, and the model’s loss on held-out text is measured. Training waits meanwhile, and the model needs its memory a second time. After the last step it is measured in any case.",
    note: "may be empty: only after the last step",
  },
  sequences: {
    help: "Held-out sequences of each evaluation. More of them give steadier figures and take longer: each goes through the model with the SAE, and clean, with zeros and with the mean in its place.",
    note: "1 to 100,000; at most as many as are held out",
  },
} as const;

/** How the model of a live source runs, and how often the SAE is measured in it. */
export function LiveOptionFields({
  architecture,
  options,
  faults,
  onChange,
}: {
  architecture: Architecture;
  options: LiveOptions;
  /** By option of the source. */
  faults: ReadonlyMap<string, string>;
  onChange: (options: LiveOptions) => void;
}) {
  return (
    <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-3">
      <PrecisionField
        id="live-precision"
        value={options.precision}
        fault={faults.get("precision")}
        onChange={(precision) => onChange({ ...options, precision })}
      />
      {architecture === "crosscoder" ? null : (
        <>
          <TextField
            id="live-eval-every"
            label="Evaluate every"
            placeholder="only at the end"
            numeric
            inputMode="numeric"
            unit="steps"
            value={options.every}
            fault={faults.get("eval_every_steps")}
            aside={<InfoTip about="Evaluate every" explanation={explanations.every} />}
            onChange={(every) => onChange({ ...options, every })}
          />
          <TextField
            id="live-eval-sequences"
            label="Evaluate on"
            placeholder={standardSequences}
            numeric
            inputMode="numeric"
            unit="sequences"
            value={options.sequences}
            fault={faults.get("eval_sequences")}
            aside={<InfoTip about="Evaluate on" explanation={explanations.sequences} />}
            onChange={(sequences) => onChange({ ...options, sequences })}
          />
        </>
      )}
    </div>
  );
}
