import type { RowReader } from "../data/shuffle.ts";
import { decode, encode } from "../sae/inference.ts";
import type { Sae } from "../sae/sae.ts";
import { type Dictionary, dictionaryMetrics } from "./dictionary.ts";
import { type Firing, FiringTotals } from "./firing.ts";
import { type Reconstruction, ReconstructionTotals } from "./reconstruction.ts";

/** Everything that can be said of an SAE without its language model. */
export interface SaeEvaluation {
  /** Rows it was measured on. */
  tokens: number;
  reconstruction: Reconstruction;
  firing: Firing;
  dictionary: Dictionary;
  /** Firing density per feature, [d_sae]. */
  densities: Float64Array;
}

export interface EvaluateOptions {
  sae: Sae;
  /** Raw rows of width d_in. */
  input: RowReader;
  /** What should come out, of width d_out; the input itself without it. */
  target?: RowReader;
  /** Rows from the start on; without it all. */
  tokens?: number;
  onProgress?(tokens: number): void;
  signal?: AbortSignal;
}

/** Numbers of one batch's widest matrix, which bounds memory whatever the SAE's size. */
const batchNumbers = 2 ** 21;

/**
 * Measures an SAE in float64 on raw activations, batch by batch: once over the targets for their mean row, once through
 * the SAE.
 * @throws RangeError when widths or numbers of rows do not fit; the reason of `signal`.
 */
export async function evaluateSae(options: EvaluateOptions): Promise<SaeEvaluation> {
  const { sae, input, target = input, onProgress, signal } = options;
  const { d_in, d_out, d_sae } = sae.config;
  if (input.d_in !== d_in || target.d_in !== d_out || input.n_rows !== target.n_rows) {
    throw new RangeError(
      `An SAE from ${d_in} to ${d_out} columns cannot be measured on ${input.n_rows} rows of ${input.d_in} and ${target.n_rows} of ${target.d_in}.`,
    );
  }
  const tokens = Math.min(options.tokens ?? input.n_rows, input.n_rows);
  const reconstruction = new ReconstructionTotals(await meanRow(target, tokens, signal));
  const firing = new FiringTotals(d_sae);
  const batch = Math.max(1, Math.floor(batchNumbers / Math.max(d_in, d_out, d_sae)));
  for (let start = 0; start < tokens; start += batch) {
    signal?.throwIfAborted();
    const count = Math.min(batch, tokens - start);
    const x = await input.read(start, count);
    const f = encode(sae, x);
    firing.add(f);
    reconstruction.add(target === input ? x : await target.read(start, count), decode(sae, f, x));
    onProgress?.(start + count);
    // Lets signals and timers in.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return {
    tokens,
    reconstruction: reconstruction.result(),
    firing: firing.result(),
    dictionary: dictionaryMetrics(sae),
    densities: firing.densities(),
  };
}

/** Mean of the first rows, [d]. */
async function meanRow(reader: RowReader, rows: number, signal?: AbortSignal): Promise<Float64Array> {
  const { d_in } = reader;
  const sum = new Float64Array(d_in);
  const batch = Math.max(1, Math.floor(batchNumbers / d_in));
  for (let start = 0; start < rows; start += batch) {
    signal?.throwIfAborted();
    const read = await reader.read(start, Math.min(batch, rows - start));
    for (let at = 0; at < read.length; at += d_in) {
      for (let column = 0; column < d_in; column++) sum[column]! += read[at + column]!;
    }
  }
  return sum.map((total) => total / rows);
}
