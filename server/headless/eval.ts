import { joinRows } from "../../gpu/data/joined-rows.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { evaluateSae, type SaeEvaluation } from "../../gpu/metrics/evaluate-sae.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { table } from "../cli/format.ts";
import { UsageError } from "../cli/usage.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { readSae } from "../formats/formats.ts";
import type { Activations } from "./activations.ts";
import { evaluateInside } from "./eval-inside.ts";
import { exitCode } from "./exit-code.ts";
import { scanRows } from "./finite-scan.ts";
import { Interruption } from "./interruption.ts";
import { Progress } from "./progress.ts";
import { saeIn } from "./run-folder.ts";
import { openData, type TrainingData } from "./training-data.ts";

export const evalOptions = [
  "sae",
  "activations",
  "targets",
  "tensor",
  "target-tensor",
  "tokens",
  "model",
  "hook",
  "target-hook",
  "sequences",
  "adapter",
] as const;

/**
 * `facet eval`: measures an SAE of any format on raw activations, on the CPU in float64; or, with --model, within its
 * language model.
 */
export function evaluate(invocation: LocalInvocation): Promise<number> {
  return invocation.options.has("model") ? evaluateInside(invocation) : evaluateOn(invocation);
}

async function evaluateOn({ output, options, json }: LocalInvocation): Promise<number> {
  const last = (name: (typeof evalOptions)[number]) => options.get(name)?.at(-1) ?? null;
  const foreign = ["hook", "target-hook", "sequences", "adapter"].filter((name) => options.has(name));
  if (foreign.length > 0) {
    throw new UsageError(
      `--${foreign[0]} belongs to an evaluation within a language model; give --model too.`,
    );
  }
  const folder = last("sae");
  const activations = options.get("activations") ?? [];
  if (folder === null) throw new UsageError("eval needs --sae, the folder or file of an SAE.");
  if (activations.length === 0) throw new UsageError("eval needs --activations to measure the SAE on.");
  const tokens = tokenCount(last("tokens"));
  const interruption = new Interruption();
  try {
    const { sae, notes } = await readSae(saeIn(folder));
    for (const note of notes) output.err(`Note: ${note}`);
    const data = await openData({
      activations,
      targets: last("targets"),
      tensor: last("tensor"),
      target_tensor: last("target-tensor"),
    });
    try {
      const faults = misfits(sae.config, data);
      if (faults.length > 0) throw new InvalidInputError(faults);
      // Rows that were never trained on, where the activations keep some apart.
      const measured = data.held_out ?? data.rows;
      const rows = Math.min(tokens ?? measured.n_rows, measured.n_rows);
      if (data.held_out === null) await data.check(rows, interruption.signal);
      else {
        output.err(`Note: measured on ${rows} of the held-out rows.`);
        await scanRows(data.held_out, activations.join(", "), rows, interruption.signal);
      }
      const progress = new Progress({
        unit: "row",
        total: rows,
        line: json ? output.err : output.out,
        rewrite: output.rewrite,
      });
      const evaluation = await evaluateSae({
        sae,
        ...sidesOf(data),
        tokens: rows,
        onProgress: (done) => progress.update(done),
        signal: interruption.signal,
      });
      if (json) output.out(JSON.stringify({ sae: folder, ...flat(evaluation) }));
      else for (const line of lines(evaluation)) output.out(line);
      return exitCode.done;
    } finally {
      await data.close();
    }
  } finally {
    interruption.dispose();
  }
}

/** What goes into the SAE, and what is to come out of a transcoder. */
function sidesOf({ inputs, target, held_out }: TrainingData): { input: RowReader; target?: RowReader } {
  const rows = (one: Activations) => (held_out === null ? one : (one.set?.held_out ?? one));
  return { input: joinRows(inputs.map(rows)), ...(target === null ? {} : { target: rows(target) }) };
}

function tokenCount(given: string | null): number | null {
  if (given === null) return null;
  const count = Number(given);
  if (Number.isInteger(count) && count > 0) return count;
  throw new UsageError(`--tokens must be a whole number above 0, not ${given}.`);
}

/** What keeps an SAE from being measured on these activations. */
function misfits(config: SaeConfig, { widths }: TrainingData): Fault[] {
  const faults: Fault[] = [];
  const { d_in, d_out, transcoder, n_hook_points } = config;
  const width = widths.inputs.reduce((sum, one) => sum + one, 0);
  if (width !== d_in) {
    const points = n_hook_points > 1 ? ` (${n_hook_points} hook points of ${d_in / n_hook_points})` : "";
    faults.push({
      path: "--activations",
      message: `The SAE reads rows of ${d_in} numbers${points}, but the activations have ${widths.inputs.join(" and ")}.`,
    });
  }
  if (transcoder && widths.target === null) {
    faults.push({
      path: "--targets",
      message:
        "This is a transcoder, which is measured against the activations of its output hook point; give those.",
    });
  }
  if (!transcoder && widths.target !== null) {
    faults.push({
      path: "--targets",
      message: "This SAE reconstructs its own input; leave the targets out.",
    });
  }
  if (transcoder && widths.target !== null && widths.target !== d_out) {
    faults.push({
      path: "--targets",
      message: `The transcoder predicts rows of ${d_out} numbers, but the targets have ${widths.target}.`,
    });
  }
  return faults;
}

/** Every figure by its name. */
function flat({ tokens, reconstruction, firing, dictionary }: SaeEvaluation) {
  return { tokens, ...reconstruction, ...firing, ...dictionary };
}

function lines(evaluation: SaeEvaluation): string[] {
  const { log10_density_histogram: bins, decoder_norm, ...figures } = flat(evaluation);
  const rows = Object.entries({
    ...figures,
    ...Object.fromEntries(
      Object.entries(decoder_norm).map(([name, value]) => [`decoder_norm_${name}`, value]),
    ),
  }).map(([name, value]) => [name, value === null ? "undefined" : shown(value)]);
  const most = bins.reduce((highest, { features }) => Math.max(highest, features), 1);
  const histogram = bins
    .filter(({ features }) => features > 0)
    .map(({ from, to, features }) => [
      `${from.toFixed(1)} to ${to.toFixed(1)}`,
      String(features),
      "█".repeat(Math.max(1, Math.round((40 * features) / most))),
    ]);
  return [...table(["metric", "value"], rows), "", ...table(["log10 density", "features", ""], histogram)];
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(6);
}
