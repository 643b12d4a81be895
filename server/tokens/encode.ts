import { Tokenizer } from "@huggingface/tokenizers";
import { checkSupported } from "./supported.ts";
import { TokenizerError } from "./tokenizer-error.ts";
import type { TokenizerFile } from "./tokenizer-file.ts";

/** The tokenizer of a file. Throws `TokenizerError` naming what of it is not supported. */
export function makeTokenizer(file: string, { json }: TokenizerFile): Tokenizer {
  checkSupported(file, json);
  try {
    // Only tokenizer.json decides the ids, as in Hugging Face's own library.
    return new Tokenizer(json, { clean_up_tokenization_spaces: false });
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 200) : String(error);
    throw new TokenizerError(
      `${file} cannot be used: ${why}. It is damaged, or of a kind that is not supported.`,
      error,
    );
  }
}

/** Texts in tokens: all ids one after another, and how many each text has. */
export interface Encoded {
  ids: Uint32Array<ArrayBuffer>;
  counts: Uint32Array<ArrayBuffer>;
}

/** A document's text with its number, for messages. */
export interface TextToEncode {
  index: number;
  text: string;
}

/**
 * Encodes each text by itself; nothing is put in front or behind.
 * @param vocabulary Ids are below this.
 * @throws TokenizerError naming the document that has a token the model does not know
 */
export function encodeTexts(
  tokenizer: Tokenizer,
  vocabulary: number,
  texts: readonly TextToEncode[],
): Encoded {
  const encoded = texts.map(({ index, text }) => {
    const { ids, tokens } = tokenizer.encode(text, { add_special_tokens: false });
    // A part of the text without a token has no id.
    const at = ids.findIndex((id: number | undefined) => id === undefined || id >= vocabulary);
    if (at < 0) return ids;
    const token = JSON.stringify(tokens[at]?.slice(0, 60));
    throw new TokenizerError(
      ids[at] === undefined
        ? `Document ${index} holds ${token}, for which the tokenizer has no token, nor one for what is unknown.`
        : `Document ${index} holds the token ${token} of id ${ids[at]}, but the model's ids are 0 to ${vocabulary - 1}. Take a model that knows it, or remove it from the text.`,
    );
  });
  const counts = Uint32Array.from(encoded, (ids) => ids.length);
  const all = new Uint32Array(counts.reduce((sum, count) => sum + count, 0));
  let at = 0;
  for (const ids of encoded) {
    all.set(ids, at);
    at += ids.length;
  }
  return { ids: all, counts };
}
