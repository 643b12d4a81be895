import { type LabelledDocument, writeDocument } from "./grammar/grammar.ts";
import { type Label, labels } from "./grammar/labels.ts";
import type { Encoder } from "./tokenizer/encode.ts";

export const labelNames = Object.keys(labels) as Label[];

/** The tokens of a document after the text's end, and for each the numbers of its labels in `labelNames`. */
export interface LabelledTokens {
  ids: number[];
  labels: number[][];
}

/** A token has a label when its last byte has it: a space in front belongs to the word that follows. */
export function labelTokens(encoder: Encoder, { text, spans }: LabelledDocument): LabelledTokens {
  const { ids, ends } = encoder.encode(text);
  // The text is plain ASCII, so that bytes are characters.
  const ofTokens = ends.map((end) =>
    labelNames.flatMap((name, index) =>
      spans.some((span) => span.label === name && span.first < end && end <= span.end) ? [index] : [],
    ),
  );
  return { ids: [0, ...ids], labels: [[], ...ofTokens] };
}

/** The first `count` tokens of a seed's documents one after another, as `TokenStream` has them. */
export function labelledStream(encoder: Encoder, seed: number, count: number): LabelledTokens {
  const stream: LabelledTokens = { ids: [], labels: [] };
  for (let document = 0; stream.ids.length < count; document++) {
    const tokens = labelTokens(encoder, writeDocument(seed, document));
    stream.ids.push(...tokens.ids);
    stream.labels.push(...tokens.labels);
  }
  return { ids: stream.ids.slice(0, count), labels: stream.labels.slice(0, count) };
}
