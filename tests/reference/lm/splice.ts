import { tokenKind } from "../../../gpu/data/tokens.ts";
import { decode, encode } from "../../../gpu/sae/inference.ts";
import type { Sae } from "../../../gpu/sae/sae.ts";
import { logSumExp } from "./arithmetic.ts";
import type { HuggingFaceModel } from "./hugging-face.ts";
import { type Activation, forward } from "./transformer.ts";

/** What evaluation inside a model should find, in float64: full passes with the activations replaced. */
export interface SplicedReference {
  n_predictions: number;
  ce: { clean: number; spliced: number; zero: number; mean: number };
  kl: { spliced: number; zero: number; mean: number };
  /** Text rows of what is replaced, of what replaces it, and features, row after row. */
  x: Float64Array;
  reconstruction: Float64Array;
  features: Float64Array;
}

export function splicedReference(
  model: HuggingFaceModel,
  ids: readonly (readonly number[])[],
  kinds: readonly (readonly number[])[],
  { hook, hook_out, sae }: { hook: string; hook_out: string; sae: Sae },
): SplicedReference {
  const clean = forward(model, ids);
  const textRows = ({ shape, data }: Activation): Float64Array => {
    const width = shape[2]!;
    const rows = kinds.flat().flatMap((kind, row) => (kind === tokenKind.text ? [row] : []));
    return Float64Array.from(rows.flatMap((row) => [...data.subarray(row * width, (row + 1) * width)]));
  };
  const x = textRows(clean.hooks.get(hook_out)!);
  const input = textRows(clean.hooks.get(hook)!);
  const features = encode(sae, input);
  const reconstruction = decode(sae, features, input);
  const { d_out } = sae.config;
  const mean = new Float64Array(d_out);
  x.forEach((value, i) => {
    mean[i % d_out]! += value / (x.length / d_out);
  });
  /** The whole model with text row i replaced by `rowOf(i)`. */
  const replaced = (rowOf: (i: number) => Float64Array) => {
    let i = 0;
    return forward(model, ids, (name, data, sequence) => {
      if (name !== hook_out) return data;
      const own = Float64Array.from(data);
      kinds[sequence]!.forEach((kind, position) => {
        if (kind === tokenKind.text) own.set(rowOf(i++), position * d_out);
      });
      return own;
    }).logits;
  };
  const spliced = replaced((i) => reconstruction.subarray(i * d_out, (i + 1) * d_out));
  const zero = replaced(() => new Float64Array(d_out));
  const meant = replaced(() => mean);
  const places = ids.flatMap((tokens, n) =>
    tokens.slice(1).flatMap((next, position) => {
      const text = kinds[n]![position + 1] === tokenKind.text;
      return text ? [{ row: n * tokens.length + position, next }] : [];
    }),
  );
  const logitsAt = ({ shape, data }: Activation, row: number) =>
    data.subarray(row * shape[2]!, (row + 1) * shape[2]!);
  const average = (of: (place: { row: number; next: number }) => number) =>
    places.reduce((sum, place) => sum + of(place), 0) / places.length;
  const ce = (logits: Activation) =>
    average(({ row, next }) => logSumExp(logitsAt(logits, row)) - logitsAt(logits, row)[next]!);
  const kl = (logits: Activation) =>
    average(({ row }) => {
      const [a, b] = [logitsAt(clean.logits, row), logitsAt(logits, row)];
      const [ta, tb] = [logSumExp(a), logSumExp(b)];
      return a.reduce((sum, logit, v) => sum + Math.exp(logit - ta) * (logit - ta - (b[v]! - tb)), 0);
    });
  return {
    n_predictions: places.length,
    ce: { clean: ce(clean.logits), spliced: ce(spliced), zero: ce(zero), mean: ce(meant) },
    kl: { spliced: kl(spliced), zero: kl(zero), mean: kl(meant) },
    x,
    reconstruction,
    features,
  };
}
