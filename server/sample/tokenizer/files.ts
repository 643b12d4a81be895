import { endOfText, type Vocabulary } from "./train.ts";

/** The objects of Hugging Face's tokenizer.json and tokenizer_config.json. */
export function tokenizerFiles({ tokens, merges }: Vocabulary, context: number) {
  const bytes = { add_prefix_space: false, trim_offsets: true, use_regex: true };
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{ id: 0, content: endOfText, ...special }],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", ...bytes },
    post_processor: { type: "ByteLevel", ...bytes },
    decoder: { type: "ByteLevel", ...bytes },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  const config = {
    tokenizer_class: "GPT2Tokenizer",
    model_max_length: context,
    add_prefix_space: false,
    bos_token: endOfText,
    eos_token: endOfText,
    unk_token: endOfText,
    clean_up_tokenization_spaces: false,
  };
  return { tokenizer, config };
}
