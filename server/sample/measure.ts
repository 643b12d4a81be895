import { NGrams } from "./ngram.ts";
import { recipe } from "./recipe.ts";
import { type LabelledTokens, labelNames } from "./token-labels.ts";
import type { Encoder } from "./tokenizer/encode.ts";
import { TokenStream } from "./tokenizer/stream.ts";
import { Transformer } from "./training/transformer.ts";

/** Contexts of one call. */
const batch = 8;

/** -log p in nats of every token but a window's first, [windows, n_ctx - 1]. @param tokens [windows, n_ctx] */
export function predictionLosses(parameters: Float32Array, tokens: Uint32Array): Float64Array {
  const { n_ctx } = recipe.shape;
  const transformer = new Transformer(recipe.shape, batch);
  transformer.parameters.set(parameters);
  const losses = new Float64Array((tokens.length / n_ctx) * (n_ctx - 1));
  for (let window = 0; window * n_ctx < tokens.length; window += batch) {
    const some = tokens.subarray(window * n_ctx, (window + batch) * n_ctx);
    losses.set(transformer.losses(some), window * (n_ctx - 1));
  }
  return losses;
}

/** Of those losses the ones of words that the document leaves no choice of, where it began in the window. */
export function decidedLosses(losses: Float64Array, stream: LabelledTokens): number[] {
  const { n_ctx } = recipe.shape;
  const decided = labelNames.indexOf("word.decided");
  const found: number[] = [];
  for (let window = 0; window * (n_ctx - 1) < losses.length; window++) {
    let whole = false;
    for (let position = 0; position < n_ctx; position++) {
      const at = window * n_ctx + position;
      if (stream.ids[at] === 0) whole = true;
      if (!whole || position === 0 || !stream.labels[at]!.includes(decided)) continue;
      found.push(losses[window * (n_ctx - 1) + position - 1]!);
    }
  }
  return found;
}

/** Losses of counts over the training text on the windows' predictions: by no, one, two and three tokens before. */
export function ngramLosses(encoder: Encoder, windows: Uint32Array, trainedTokens: number): number[] {
  const { d_vocab, n_ctx } = recipe.shape;
  const counts = new NGrams(4, d_vocab);
  counts.add(new TokenStream(encoder, recipe.training_seed).next(trainedTokens));
  const sums = [0, 0, 0, 0];
  let predictions = 0;
  for (let at = 0; at < windows.length; at++) {
    if (at % n_ctx === 0) continue;
    // A count may look back beyond its window, which is to its favour.
    counts.losses(windows, at).forEach((loss, order) => {
      sums[order]! += loss;
    });
    predictions++;
  }
  return sums.map((sum) => sum / predictions);
}
