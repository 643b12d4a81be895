import { z } from "zod";

const nats = z.number().positive();

/** sample.json: what the shipped files are, as measured when they were made. */
export const sampleDescription = z.strictObject({
  /** Of the shipped text. */
  documents: z.int(),
  tokens: z.int(),
  parameters: z.int(),
  seeds: z.strictObject({ text: z.int(), training: z.int(), parameters: z.int() }),
  training: z.strictObject({ steps: z.int(), tokens: z.int(), loss: nats }),
  /**
   * Mean cross-entropy in nats per token on the shipped text, which was not trained on, in windows of n_ctx tokens that
   * follow one another, documents each after the text's end; every token but a window's first is predicted. The decided
   * are the words that a document begun in the window leaves no choice of.
   */
  held_out: z.strictObject({
    windows: z.int(),
    loss: nats,
    first_windows: z.int(),
    first_loss: nats,
    decided_loss: nats,
  }),
  /** Of the same predictions, by counts over as many tokens as the model was trained on. */
  ngram_losses: z.strictObject({ unigram: nats, bigram: nats, trigram: nats, fourgram: nats }),
  /** SHA-256 by path. */
  sha256: z.record(z.string(), z.string()),
});

export type SampleDescription = z.infer<typeof sampleDescription>;
