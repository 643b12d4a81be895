import path from "node:path";
import { z } from "zod";
import { lengthsSchema } from "../datasets/manifest.ts";
import { parseSettings, readJsonFile } from "../formats/json-file.ts";
import { formatVersion, packingSchema } from "./options.ts";
import { asTokenSetError } from "./tokenizer-error.ts";

export const manifestFile = "manifest.json";
export const spansFile = "spans.bin";
export const spanIndexFile = "spans.index";
const number = (shard: number) => String(shard).padStart(5, "0");
export const idsFile = (shard: number) => `ids-${number(shard)}.bin`;
export const kindsFile = (shard: number) => `kinds-${number(shard)}.bin`;
/** A span in `spans.bin`: document, first, last and offset, each u32, little-endian. */
export const spanBytes = 16;
/** `spans.index` has the number of spans before each sequence, and before the end: u64, little-endian. */
export const spanIndexBytes = 8;

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const id = z
  .number()
  .int()
  .min(0)
  .max(2 ** 22);
const storedFile = z.object({ file: z.string().regex(/^[\w.-]{1,100}$/), bytes: count, sha256 });

const manifestSchema = z.object({
  format_version: z.literal(formatVersion),
  /** Of what it was made of: dataset, tokenizer, options. */
  hash: sha256,
  dataset: z.object({ name: z.string(), sha256 }),
  tokenizer: z.object({
    model: z.string(),
    sha256,
    vocab_size: z
      .number()
      .int()
      .min(1)
      .max(2 ** 22),
  }),
  options: packingSchema,
  bos_id: id.nullable(),
  eos_id: id.nullable(),
  pad_id: id,
  /** Ids that are marks rather than text, wherever they came from; in the kinds they are `special`. */
  special_ids: z.array(id).max(2 ** 20),
  n_sequences: count,
  /** Of these, at the end: never trained on. */
  held_out_sequences: count,
  n_documents: count,
  n_characters: count,
  /** In the sequences. Together with the two others it is n_sequences x context_size. */
  n_text_tokens: count,
  n_special_tokens: count,
  n_padding_tokens: count,
  /** Tokens of documents that filled no sequence and were dropped. */
  n_dropped_tokens: count,
  /** All documents by their number of tokens, none put in front or behind. */
  document_tokens: lengthsSchema,
  tokens_per_character: z.number().min(0),
  dtype: z.enum(["uint16", "uint32"]),
  shards: z
    .array(z.object({ first_sequence: count, n_sequences: count, ids: storedFile, kinds: storedFile }))
    .max(2 ** 20),
  spans: storedFile,
  span_index: storedFile,
  facet_version: z.string(),
  created_at: z.string(),
});

export type TokenSetManifest = z.output<typeof manifestSchema>;

/** Throws `TokenSetError`. */
export async function readTokenSetManifest(folder: string): Promise<TokenSetManifest> {
  const file = path.join(folder, manifestFile);
  try {
    return parseSettings(file, manifestSchema, await readJsonFile(file));
  } catch (error) {
    throw asTokenSetError(file, error);
  }
}
