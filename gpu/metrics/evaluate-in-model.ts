import { type TokenReader, tokenKind } from "../data/tokens.ts";
import type { Gpu } from "../device/gpu.ts";
import { requireHookPoint } from "../lm/hook-points.ts";
import { openLanguageModel } from "../lm/language-model.ts";
import type { ModelSpec } from "../lm/model-spec.ts";
import { type HookRows, requireSpliceable } from "../lm/splice.ts";
import type { WeightSource } from "../lm/weights.ts";
import { decode, encode } from "../sae/inference.ts";
import type { Sae } from "../sae/sae.ts";
import { type Firing, FiringTotals } from "./firing.ts";
import { type Reconstruction, ReconstructionTotals } from "./reconstruction.ts";

/**
 * How a language model does with an SAE in it: x̂ takes the place of x at a hook point, on every token of text; special
 * tokens and padding keep what the model computed, since no SAE is trained on them (SAELens exclude_special_tokens). Losses
 * are means over the predictions of a text token, in nats.
 */
export interface InModel {
  /** As the model is. */
  ce_clean: number;
  /** With the SAE's reconstruction. */
  ce_spliced: number;
  /** With zero, and with the mean activation of the evaluated text, in place of the activations. */
  ce_zero: number;
  ce_mean: number;
  /** ce_spliced − ce_clean. */
  delta_ce: number;
  /**
   * (ce_zero − ce_spliced) / (ce_zero − ce_clean) (SAELens, SAEBench ce_loss_score): 1 is no harm; null where zero does none
   * either. `loss_recovered_mean` is the same against the mean.
   */
  loss_recovered: number | null;
  loss_recovered_mean: number | null;
  /** Mean of KL(clean ‖ spliced) over the same predictions, in nats. */
  kl: number;
  /** Tokens of text that went through the SAE, and predictions that the losses are means of. */
  n_tokens: number;
  n_predictions: number;
}

export interface ModelEvaluation extends InModel, Reconstruction, Firing {
  /** Share of the tokens on which each feature fires, [d_sae]. */
  feature_frequency: Float64Array;
}

export interface EvaluateInModelOptions {
  gpu: Gpu;
  spec: ModelSpec;
  weights: WeightSource;
  tokens: TokenReader;
  /** Where the SAE reads. */
  hook: string;
  /** Where a transcoder writes, which the pass comes by later; the same without it. */
  hook_out?: string;
  sae: Sae;
  /** Sequences to evaluate on. */
  first_sequence: number;
  n_sequences: number;
  sequences_together?: number;
  signal?: AbortSignal;
  onProgress?(sequences: number): void;
}

const tokensTogether = 2_048;

/**
 * Measures an SAE within its model. The model runs on the GPU, once clean and once for each replacement; the SAE in
 * float64 on the CPU, as for every evaluation.
 * @throws UnknownHookError, SpliceError, RangeError where widths do not fit or no text is predicted; what the model throws;
 *   the reason of `signal`.
 */
export async function evaluateInModel(options: EvaluateInModelOptions): Promise<ModelEvaluation> {
  const { gpu, spec, weights, tokens, hook, hook_out = hook, sae, n_sequences, signal } = options;
  requireSpliceable(spec, hook_out);
  fits(spec, sae, hook, hook_out);
  const { length } = tokens;
  if (length < 2) throw new RangeError("A sequence of one token has no next token to predict.");
  const together = Math.min(
    n_sequences,
    options.sequences_together ?? Math.max(1, Math.floor(tokensTogether / length)),
  );
  const mean = await meanOfText(options, hook_out, together);
  const model = await openLanguageModel({
    gpu,
    spec,
    weights,
    hooks: hook === hook_out ? [] : [hook],
    splice: hook_out,
    n_sequences: together,
    length,
    logits: true,
  });
  try {
    const firing = new FiringTotals(sae.config.d_sae);
    const reconstruction = new ReconstructionTotals(mean.row);
    const sums = { clean: 0, spliced: 0, zero: 0, mean: 0, kl: 0, predictions: 0 };
    for await (const { ids, kinds, done } of batches(options, together)) {
      const text = textRows(kinds);
      const throughSae = (activations: HookRows) => {
        const y = activations.get(hook_out)!;
        const x = pick(activations.get(hook)!, text, sae.config.d_in);
        const f = encode(sae, x);
        const reconstructed = decode(sae, f, x);
        firing.add(f);
        reconstruction.add(pick(y, text, sae.config.d_out), reconstructed);
        return put(
          y,
          text,
          sae.config.d_out,
          (row, column) => reconstructed[row * sae.config.d_out + column]!,
        );
      };
      const constant = (row: Float64Array | null) => (activations: HookRows) =>
        put(activations.get(hook_out)!, text, sae.config.d_out, (_, column) => row?.[column] ?? 0);
      const { clean, replaced } = await model.spliced(ids, [throughSae, constant(null), constant(mean.row)]);
      const [spliced, zero, averaged] = replaced as [
        (typeof replaced)[0],
        (typeof replaced)[0],
        (typeof replaced)[0],
      ];
      for (let row = 0; row < kinds.length; row++) {
        if (row % length === length - 1 || kinds[row + 1] !== tokenKind.text) continue;
        sums.clean += clean[row]!;
        sums.spliced += spliced.losses[row]!;
        sums.zero += zero.losses[row]!;
        sums.mean += averaged.losses[row]!;
        sums.kl += spliced.kl[row]!;
        sums.predictions++;
      }
      options.onProgress?.(done);
      signal?.throwIfAborted();
    }
    if (sums.predictions === 0) throw new RangeError("None of the sequences has text to predict.");
    return {
      ...inModel(sums, mean.tokens),
      ...reconstruction.result(),
      ...firing.result(),
      feature_frequency: firing.densities(),
    };
  } finally {
    model.close();
  }
}

interface Sums {
  clean: number;
  spliced: number;
  zero: number;
  mean: number;
  kl: number;
  predictions: number;
}

function inModel({ predictions, ...sums }: Sums, n_tokens: number): InModel {
  const of = (sum: number) => sum / predictions;
  const recovered = (ablated: number) =>
    ablated === sums.clean ? null : (ablated - sums.spliced) / (ablated - sums.clean);
  return {
    ce_clean: of(sums.clean),
    ce_spliced: of(sums.spliced),
    ce_zero: of(sums.zero),
    ce_mean: of(sums.mean),
    delta_ce: of(sums.spliced - sums.clean),
    loss_recovered: recovered(sums.zero),
    loss_recovered_mean: recovered(sums.mean),
    kl: of(sums.kl),
    n_tokens,
    n_predictions: predictions,
  };
}

function fits(spec: ModelSpec, { config }: Sae, hook: string, hook_out: string): void {
  const widths = [
    [hook, config.d_in],
    [hook_out, config.d_out],
  ] as const;
  for (const [name, expected] of widths) {
    const { width } = requireHookPoint(spec, name);
    if (width !== expected) {
      throw new RangeError(`${name} has width ${width} in this model, but the SAE has ${expected}.`);
    }
  }
}

/** Mean activation of the text at a hook point, [width], and how many tokens it is of. */
async function meanOfText(
  options: EvaluateInModelOptions,
  hook: string,
  together: number,
): Promise<{ row: Float64Array; tokens: number }> {
  const { gpu, spec, weights, tokens } = options;
  const { width } = requireHookPoint(spec, hook);
  const row = new Float64Array(width);
  let count = 0;
  const model = await openLanguageModel({
    gpu,
    spec,
    weights,
    hooks: [hook],
    n_sequences: together,
    length: tokens.length,
  });
  try {
    for await (const { ids, kinds } of batches(options, together)) {
      const activations = (await model.forward(ids)).get(hook)!;
      for (const at of textRows(kinds)) {
        for (let column = 0; column < width; column++) row[column]! += activations[at * width + column]!;
        count++;
      }
      options.signal?.throwIfAborted();
    }
  } finally {
    model.close();
  }
  return { row: row.map((sum) => sum / Math.max(1, count)), tokens: count };
}

async function* batches(
  { tokens, first_sequence, n_sequences }: EvaluateInModelOptions,
  together: number,
): AsyncGenerator<{ ids: Uint32Array<ArrayBuffer>; kinds: Uint8Array; done: number }> {
  for (let done = 0; done < n_sequences; ) {
    const count = Math.min(together, n_sequences - done);
    const ids = await tokens.read(first_sequence + done, count);
    const kinds = await tokens.kinds(first_sequence + done, count);
    done += count;
    yield { ids, kinds, done };
  }
}

function textRows(kinds: Uint8Array): number[] {
  return Array.from(kinds.entries()).flatMap(([row, kind]) => (kind === tokenKind.text ? [row] : []));
}

/** Some rows of [n, width]. */
function pick(rows: Float32Array, chosen: readonly number[], width: number): Float32Array {
  const picked = new Float32Array(chosen.length * width);
  for (const [at, row] of chosen.entries())
    picked.set(rows.subarray(row * width, (row + 1) * width), at * width);
  return picked;
}

/** [n, width] with other numbers in some rows. @param value Of the chosen row of that place, and column. */
function put(
  rows: Float32Array<ArrayBuffer>,
  chosen: readonly number[],
  width: number,
  value: (at: number, column: number) => number,
): Float32Array<ArrayBuffer> {
  const result = rows.slice();
  for (const [at, row] of chosen.entries()) {
    for (let column = 0; column < width; column++) result[row * width + column] = value(at, column);
  }
  return result;
}
