import { Tokenizer } from "@huggingface/tokenizers";
import { byteCharacters } from "./bytes.ts";
import type { tokenizerFiles } from "./files.ts";

/** Bytes of a token's characters. */
const byteCount = (token: string): number => Array.from(token).length;

/** A document's ids; `ends[i]` is the place in the text, in bytes, where token i ends. */
export interface Encoded {
  ids: number[];
  ends: number[];
}

/** Encodes documents with the library that the project's tokenization uses. */
export class Encoder {
  readonly #tokenizer: Tokenizer;
  readonly #tokens: string[];

  constructor({ tokenizer, config }: ReturnType<typeof tokenizerFiles>) {
    this.#tokenizer = new Tokenizer(tokenizer, config);
    this.#tokens = [];
    for (const [token, id] of Object.entries(tokenizer.model.vocab)) this.#tokens[id] = token;
  }

  encode(text: string): Encoded {
    const { ids } = this.#tokenizer.encode(text, { add_special_tokens: false });
    let end = 0;
    return {
      ids,
      ends: ids.map((id) => {
        end += byteCount(this.#tokens[id]!);
        return end;
      }),
    };
  }

  /** A token as it is read. */
  text(id: number): string {
    const bytes = Array.from(this.#tokens[id]!, (character) => byteCharacters.indexOf(character));
    return bytes.includes(-1) ? this.#tokens[id]! : new TextDecoder().decode(Uint8Array.from(bytes));
  }
}
