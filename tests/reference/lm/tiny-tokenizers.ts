import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";

/** Small tokenizers in Hugging Face's `tokenizer.json`, with ids that can be told by hand. */

/** Ids 0 to 25 are a to z, 26 is a space; nothing merges. 27 is <s>, 28 is </s>, 29 is <pad>, all three special. */
export function letterTokenizer(): Record<string, unknown> {
  const letters = Array.from({ length: 26 }, (_, at) => [String.fromCharCode(97 + at), at]);
  return {
    version: "1.0",
    added_tokens: ["<s>", "</s>", "<pad>"].map((content, at) => ({
      id: 27 + at,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries([...letters, ["Ġ", 26]]),
      merges: [],
    },
  };
}

/** Ids of a text by `letterTokenizer`. */
export function letterIds(text: string): number[] {
  return Array.from(text, (letter) => (letter === " " ? 26 : letter.charCodeAt(0) - 97));
}

/** A model's configuration that `letterTokenizer` fits: 32 ids, so that two have no token. */
export const letterConfig = {
  model_type: "gpt2",
  n_embd: 8,
  n_layer: 1,
  n_head: 2,
  n_positions: 64,
  vocab_size: 32,
  bos_token_id: 27,
  eos_token_id: 28,
};

export const letterSettings = { bos_token: "<s>", eos_token: { content: "</s>" }, pad_token: "<pad>" };

/** Makes a model's folder without weights. */
export async function tokenizerFolder(
  folder: string,
  files: { tokenizer?: unknown; config?: unknown; settings?: unknown } = {},
): Promise<string> {
  const { tokenizer = letterTokenizer(), config = letterConfig, settings = letterSettings } = files;
  await mkdir(folder, { recursive: true });
  const write = (name: string, content: unknown) =>
    content === null ? undefined : writeFile(path.join(folder, name), JSON.stringify(content));
  await write("tokenizer.json", tokenizer);
  await write("config.json", config);
  await write("tokenizer_config.json", settings);
  return folder;
}
