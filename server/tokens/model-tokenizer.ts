import path from "node:path";
import type { Tokenizer } from "@huggingface/tokenizers";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { ModelConfigError, type ModelSpec, UnsupportedModelError } from "../../gpu/lm/model-spec.ts";
import { isJsonObject, readJsonFile, readJsonFileIfThere } from "../formats/json-file.ts";
import { modelNameOf, tokenizerFile } from "../models/model-folder.ts";
import { makeTokenizer } from "./encode.ts";
import { asTokenizerError, TokenizerError } from "./tokenizer-error.ts";
import { readTokenizerFile, type TokenizerJson } from "./tokenizer-file.ts";

/** A model's own tokenizer, which fits it. */
export interface ModelTokenizer {
  /** The model's, as it was imported; else that of its folder. */
  readonly name: string;
  /** tokenizer.json and the SHA-256 of its bytes. */
  readonly file: string;
  readonly sha256: string;
  readonly json: TokenizerJson;
  readonly tokenizer: Tokenizer;
  /** Rows of the model's embedding: ids are below this. */
  readonly vocab_size: number;
  /** Longest sequence of the model. */
  readonly n_ctx: number;
  readonly bos_id: number | null;
  readonly eos_id: number | null;
  /** What is put where a sequence has no token; never seen by training. */
  readonly pad_id: number;
  /** Ids of the tokens that are marks rather than text, ascending. */
  readonly special_ids: readonly number[];
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Opens tokenizer.json, and checks it against the model's config.json and tokenizer_config.json (which may be missing).
 * No weights are needed.
 * @throws TokenizerError for a tokenizer that is missing, damaged, not supported, or another model's
 */
export async function openModelTokenizer(folder: string): Promise<ModelTokenizer> {
  const file = path.join(folder, tokenizerFile);
  const config = await jsonAt(path.join(folder, "config.json"), readJsonFile);
  const settings = (await jsonAt(path.join(folder, "tokenizer_config.json"), readJsonFileIfThere)) ?? {};
  const spec = specOf(folder, config);
  const name = await modelNameOf(folder);
  const { sha256, json } = await readTokenizerFile(file);
  const tokenizer = makeTokenizer(file, { sha256, json });
  checkVocabulary(file, tokenizer, json, spec.d_vocab);
  const special_ids = [
    ...new Set(json.added_tokens.filter((token) => token.special).map((token) => token.id)),
  ]
    .filter((id) => id < spec.d_vocab)
    .sort((a, b) => a - b);
  const at = { file, config, settings, tokenizer, special: new Set(special_ids), vocabulary: spec.d_vocab };
  const bos_id = specialId(at, "bos");
  const eos_id = specialId(at, "eos");
  const pad = namedId(at, "pad");
  return {
    name,
    file,
    sha256,
    json,
    tokenizer,
    vocab_size: spec.d_vocab,
    n_ctx: spec.n_ctx,
    bos_id,
    eos_id,
    pad_id: (pad !== null && pad < spec.d_vocab ? pad : null) ?? eos_id ?? bos_id ?? 0,
    special_ids,
  };
}

async function jsonAt<T>(file: string, read: (file: string) => Promise<T>): Promise<T> {
  try {
    return await read(file);
  } catch (error) {
    throw asTokenizerError(file, error);
  }
}

function specOf(folder: string, config: Json): ModelSpec {
  try {
    return describeModel(config);
  } catch (error) {
    if (error instanceof UnsupportedModelError || error instanceof ModelConfigError) {
      throw new TokenizerError(`${folder}: ${error.message}`, error);
    }
    throw error;
  }
}

/**
 * Embeddings may have rows beyond the tokenizer's ids, as padded ones do; the other way round the tokenizer is another
 * model's. Added tokens may lie beyond: those of a family's other members are told when a text has one.
 */
function checkVocabulary(file: string, tokenizer: Tokenizer, json: TokenizerJson, size: number): void {
  const added = new Set(json.added_tokens.map(({ id }) => id));
  let highest = -1;
  for (const [token, id] of tokenizer.get_vocab() as Map<string | undefined, number>) {
    // Numbers that are left out are there as undefined.
    if (token !== undefined && !added.has(id)) highest = Math.max(highest, id);
  }
  if (highest < size) return;
  throw new TokenizerError(
    `${file} has ids up to ${highest}, but the model's vocabulary has ${size}: it is another model's tokenizer. Copy or download config.json and tokenizer.json of one model together.`,
  );
}

interface SpecialLookup {
  file: string;
  config: Json;
  settings: Json;
  tokenizer: Tokenizer;
  special: ReadonlySet<number>;
  vocabulary: number;
}

/** The token's id by the model and by its tokenizer, which must mean the same one. Null where neither has any. */
function specialId(at: SpecialLookup, which: "bos" | "eos"): number | null {
  const { file, config, tokenizer, special, vocabulary } = at;
  const key = `${which}_token_id`;
  const inner = isJsonObject(config.text_config) ? config.text_config[key] : undefined;
  const given = config[key] ?? inner ?? null;
  const byModel = (Array.isArray(given) ? given : given === null ? [] : [given]) as unknown[];
  const named = namedId(at, which);
  const wrong = (why: string) =>
    new TokenizerError(
      `${path.dirname(file)}: ${why} Copy or download config.json, tokenizer.json and tokenizer_config.json of one model together.`,
    );
  if (byModel.some((id) => !Number.isSafeInteger(id) || Number(id) < 0 || Number(id) >= vocabulary)) {
    throw wrong(
      `config.json has ${key} ${JSON.stringify(given)?.slice(0, 60)}, which is no id of its vocabulary.`,
    );
  }
  const first = byModel.length === 0 ? null : Number(byModel[0]);
  const id = named ?? first;
  if (id === null) return null;
  if (named !== null && first !== null && !byModel.includes(named)) {
    throw wrong(`config.json has ${key} ${JSON.stringify(given)}, but for the tokenizer it is ${named}.`);
  }
  const token = tokenizer.id_to_token(id);
  if (token === undefined) throw wrong(`config.json has ${key} ${id}, for which the tokenizer has no token.`);
  if (id >= vocabulary) throw wrong(`The tokenizer's ${key} is ${id}, beyond the model's vocabulary.`);
  if (!special.has(id)) {
    throw wrong(`${key} is ${id}, but in the tokenizer that is the ordinary token ${JSON.stringify(token)}.`);
  }
  return id;
}

/** The id of the token that tokenizer_config.json names. */
function namedId({ settings, tokenizer, file }: SpecialLookup, which: "bos" | "eos" | "pad"): number | null {
  const named = settings[`${which}_token`];
  const content = isJsonObject(named) ? named.content : named;
  if (content === undefined || content === null) return null;
  const id = typeof content === "string" ? tokenizer.token_to_id(content) : undefined;
  if (id !== undefined) return id;
  if (which === "pad") return null;
  throw new TokenizerError(
    `${path.dirname(file)}: tokenizer_config.json names ${which}_token ${JSON.stringify(content)?.slice(0, 60)}, which tokenizer.json does not have. Copy or download both together.`,
  );
}
