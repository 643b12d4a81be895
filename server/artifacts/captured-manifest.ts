import { z } from "zod";

/**
 * A set of activations that were captured here, in files without headers beside `manifest.json`; little-endian:
 * - `rows-00000.bin`, …: a row [d_in] of every token of every sequence, in order, whether it is trained on or not.
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

/** What a token is to training; the first is trained on, the next two are token kinds. */
export const captureMask = { text: 0, special: 1, padding: 2, excluded: 3 } as const;

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
  /** Rows to train on: text that is neither excluded nor held out. */
  n_tokens: positive,
  /** Rows of text of the held-out sequences. */
  held_out_tokens: count,
  /** Of all files but this one. */
  bytes: positive,
  /** SHA-256 over the lines `<sha256 of file>  <name>`, sorted by name. */
  sha256,
  hook_name: z.string(),
  model_name: z.string(),
  dataset_name: z.string(),
  /** Hash of the model's files, and of dataset, tokenizer and options together. */
  model_sha256: z.string(),
  tokens_hash: z.string(),
  excluded_token_ids: z.array(count),
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
