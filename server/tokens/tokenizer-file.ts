import { createHash } from "node:crypto";
import { z } from "zod";
import { nestsDeeperThan } from "../../gpu/data/json-depth.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { asTokenizerError, TokenizerError } from "./tokenizer-error.ts";

/** The largest in the field, of a vocabulary of 262,144, has 33 MB. */
const maxBytes = 128 * 2 ** 20;
const maxDepth = 64;
const maxId = 2 ** 22;

const part = z.looseObject({ type: z.string() });
const id = z.number().int().min(0).max(maxId);

const tokenizerSchema = z.looseObject({
  added_tokens: z
    .array(
      z.looseObject({
        id,
        content: z.string().min(1),
        special: z.boolean().default(false),
        single_word: z.boolean().default(false),
      }),
    )
    .nullish()
    .transform((tokens) => tokens ?? []),
  normalizer: part.nullable().default(null),
  pre_tokenizer: part.nullable().default(null),
  post_processor: part.nullable().default(null),
  decoder: part.nullable().default(null),
  model: z.looseObject({ type: z.string().nullish() }),
});

export type TokenizerJson = z.output<typeof tokenizerSchema>;

export interface TokenizerFile {
  /** Of the file's bytes. */
  sha256: string;
  json: TokenizerJson;
}

/** Reads a model's `tokenizer.json`. Throws `TokenizerError`. */
export async function readTokenizerFile(file: string): Promise<TokenizerFile> {
  const bytes = await bytesOf(file);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  let parsed: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (nestsDeeperThan(text, maxDepth)) throw new Error(`it nests deeper than ${maxDepth} levels`);
    parsed = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 120) : String(error);
    throw new TokenizerError(
      `${file} is not the JSON of a tokenizer (${why}). Copy or download it again.`,
      error,
    );
  }
  const { data, error } = tokenizerSchema.safeParse(parsed);
  if (data !== undefined) return { sha256, json: data };
  const [issue] = error.issues;
  throw new TokenizerError(
    `${file} does not say what a tokenizer.json does: at ${issue?.path.join(".") || "its start"}, ${issue?.message}. Copy or download it again.`,
  );
}

async function bytesOf(file: string): Promise<Uint8Array> {
  try {
    const source = await openRegularFile(file);
    try {
      if (source.size <= maxBytes) return await source.read(0, source.size);
      throw new TokenizerError(`${file} has ${source.size} bytes; ${maxBytes} is the most that is read.`);
    } finally {
      await source.close();
    }
  } catch (error) {
    throw asTokenizerError(file, error);
  }
}
