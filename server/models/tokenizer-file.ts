import path from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { nestsDeeperThan } from "../../gpu/data/json-depth.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { asModelError, ModelFolderError } from "./model-folder-error.ts";

/** The largest in the field, of 262,144 tokens, has 33 MB. */
const maxBytes = 128 * 2 ** 20;
const maxDepth = 64;

/** A model's own way from text to tokens and back. */
export interface TextTokenizer {
  /** With the special tokens that the tokenizer itself puts around a text, such as one for its beginning. */
  encode(text: string): number[];
  /** Without special tokens. */
  decode(ids: readonly number[]): string;
}

/** Reads `tokenizer.json` of a model's folder. Throws `ModelFolderError`. */
export async function readTokenizer(folder: string): Promise<TextTokenizer> {
  const file = path.join(folder, "tokenizer.json");
  const text = await readText(file);
  let tokenizer: Tokenizer;
  try {
    if (nestsDeeperThan(text, maxDepth)) throw new Error(`it nests deeper than ${maxDepth} levels`);
    tokenizer = new Tokenizer(JSON.parse(text) as object, { clean_up_tokenization_spaces: false });
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 200) : String(error);
    throw new ModelFolderError(
      `${file} cannot be used (${why}). It is damaged, or of a kind that is not supported; copy or download it again.`,
      error,
    );
  }
  return {
    encode(words) {
      const { ids, tokens } = tokenizer.encode(words);
      const unknown = ids.findIndex((id: number | undefined) => id === undefined);
      if (unknown < 0) return ids;
      const token = JSON.stringify(tokens[unknown]?.slice(0, 60));
      throw new ModelFolderError(`${file} has no token for ${token}, nor one for what is unknown.`);
    },
    decode: (ids) => tokenizer.decode([...ids], { skip_special_tokens: true }),
  };
}

async function readText(file: string): Promise<string> {
  try {
    const source = await openRegularFile(file);
    try {
      if (source.size > maxBytes) {
        throw new ModelFolderError(`${file} has ${source.size} bytes; ${maxBytes} is the most that is read.`);
      }
      return new TextDecoder().decode(await source.read(0, source.size));
    } finally {
      await source.close();
    }
  } catch (error) {
    throw asModelError(file, error);
  }
}
