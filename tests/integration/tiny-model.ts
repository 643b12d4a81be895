import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { writeModelFolder } from "../gpu/model-folders.ts";
import { randomModel } from "../reference/lm/random-model.ts";

/** Sizes of the model that `writeTinyModel` writes. */
export const tiny = { d_model: 16, n_layers: 2, n_ctx: 32, d_mlp: 64, vocabulary: 257 } as const;

const config = {
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  activation_function: "gelu_new",
  layer_norm_epsilon: 1e-5,
  n_positions: tiny.n_ctx,
  n_embd: tiny.d_model,
  n_layer: tiny.n_layers,
  n_head: 2,
  vocab_size: tiny.vocabulary,
  bos_token_id: 256,
  eos_token_id: 256,
};

/** A GPT-2 of random weights whose tokens are single bytes and one special one, in a folder of Hugging Face's layout. */
export async function writeTinyModel(folder: string, seed = 1): Promise<string> {
  await writeModelFolder(folder, randomModel(config, seed));
  await writeFile(path.join(folder, "tokenizer.json"), JSON.stringify(byteTokenizer()));
  return folder;
}

/** One token a byte, by the characters that GPT-2 writes for bytes (Radford et al. 2019). */
function byteTokenizer(): object {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  let next = 0x100;
  const vocab = Object.fromEntries(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(printable(byte) ? byte : next++), byte]),
  );
  const end = "<|endoftext|>";
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 256,
        content: end,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      vocab: { ...vocab, [end]: 256 },
      merges: [],
    },
  };
}

const words = "the cat sat on a mat and saw two red birds in an old tree by the sea".split(" ");

/** Texts of words in an order that depends on their number; every one is different. */
export function tinyTexts(count: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    Array.from(
      { length: 12 + (index % 5) },
      (_, at) => words[(index * 7 + at * (3 + (index % 4))) % words.length],
    ).join(" "),
  );
}

/** The texts as JSON lines with a number each. */
export async function writeTinyTexts(file: string, count = 40): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true });
  const lines = tinyTexts(count).map((text, number) => JSON.stringify({ text, number }));
  await writeFile(file, `${lines.join("\n")}\n`);
  return file;
}
