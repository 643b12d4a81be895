import { z } from "zod";
import { precisions } from "../../gpu/lm/precision.ts";

/**
 * A set of activations that were captured here, in files without headers beside `manifest.json`; little-endian:
 * - `rows-00000.bin`, …: a row [d_in] of every token of every sequence, in order, whether it is trained on or not: the
 *   token at position p of sequence s is the set's row s x length + p, and a file holds whole sequences.
 * - `mask.bin`: a byte a token, `captureMask`.
 * - `ids.bin`: the token's id, u32.
 * - `documents.bin`: where documents lie, u32 each: sequence, document, first and last position, and the document's token
 *   at the first. So every row can be traced to its text.
 */
export const manifestFile = "manifest.json";
export const rowsFile = (shard: number) => `rows-${String(shard).padStart(5, "0")}.bin`;
export const maskFile = "mask.bin";
export const idsFile = "ids.bin";
export const documentsFile = "documents.bin";
export const spanWords = 5;

/** Words of a span in `documents.bin`. */
export type SpanWords = [sequence: number, document: number, first: number, last: number, offset: number];

/**
 * What a token is to training. The first alone is trained on; the next two are token kinds; then come ids that were named,
 * and rows whose norm is too large at one of the hook points that were captured together.
 */
export const captureMask = { text: 0, special: 1, padding: 2, excluded: 3, outlier: 4 } as const;
export const maskNames = ["text", "special", "padding", "excluded", "outlier"] as const;

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const positive = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const storedFile = z.object({ file: z.string().regex(/^[\w.-]{1,100}$/), bytes: count, sha256 });

export const capturedManifestSchema = z.strictObject({
  format_version: z.literal(2),
  d_in: z.number().int().min(1).max(1_048_576),
  dtype: z.enum(["float16", "float32"]),
  n_sequences: positive,
  /** Tokens of a sequence. */
  length: positive,
  /** Of the sequences, at the end: never trained on. */
  held_out_sequences: count,
  /** Rows to train on: text that is neither excluded, an outlier, nor held out. */
  n_tokens: positive,
  /** Rows of text of the held-out sequences. */
  held_out_tokens: count,
  /** Tokens of all sequences by their mask. */
  mask_counts: z.strictObject({
    text: count,
    special: count,
    padding: count,
    excluded: count,
    outlier: count,
  }),
  /** Of all files but this one. */
  bytes: positive,
  /** SHA-256 over the lines `<sha256 of file>  <name>`, sorted by name. */
  sha256,
  hook_name: z.string(),
  model_name: z.string(),
  dataset_name: z.string(),
  dataset_sha256: z.string(),
  /** Hash of the model's files, and of dataset, tokenizer and options together. */
  model_sha256: z.string(),
  tokens_hash: z.string(),
  /** Of the model's weights on the GPU. */
  precision: z.enum(precisions),
  excluded_token_ids: z.array(count),
  /** Rows are outliers beyond so many medians of the norms; null where none is taken for one. */
  outlier_norm: z.number().gt(1).nullable(),
  /** Hook points at which a token's row may be an outlier, and with it the token in all of their sets. */
  outlier_hooks: z.array(z.string()),
  /** The norm beyond which a row of this hook point is one. */
  outlier_threshold: z.number().min(0).nullable(),
  /** Mean of the rows to train on, [d_in], of their norms, and the norm of the mean. */
  mean: z.array(z.number()),
  mean_norm: z.number().min(0),
  norm_of_mean: z.number().min(0),
  shards: z
    .array(storedFile.extend({ first_sequence: count, n_sequences: positive }))
    .min(1)
    .max(2 ** 20),
  mask: storedFile,
  ids: storedFile,
  documents: storedFile,
});
export type CapturedManifest = z.output<typeof capturedManifestSchema>;
