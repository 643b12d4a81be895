import { writeDocument } from "../grammar/grammar.ts";
import type { Encoder } from "./encode.ts";

/** Where a stream of tokens is, so that it can go on from there. */
export interface StreamPlace {
  document: number;
  left: number[];
}

/** The tokens of a seed's documents one after another, each after the text's end (id 0), without an end. */
export class TokenStream {
  readonly #encoder: Encoder;
  readonly #seed: number;
  #document: number;
  #left: number[];

  constructor(encoder: Encoder, seed: number, place: StreamPlace = { document: 0, left: [] }) {
    this.#encoder = encoder;
    this.#seed = seed;
    this.#document = place.document;
    this.#left = [...place.left];
  }

  get place(): StreamPlace {
    return { document: this.#document, left: [...this.#left] };
  }

  next(count: number): number[] {
    while (this.#left.length < count) {
      this.#left.push(0, ...this.#encoder.encode(writeDocument(this.#seed, this.#document++).text).ids);
    }
    return this.#left.splice(0, count);
  }

  /**
   * Windows of `length` tokens that follow one another, [windows, length]. Every second one has id 0 before its
   * tokens, as packed sequences with a beginning token have.
   */
  windows(count: number, length: number): Uint32Array<ArrayBuffer> {
    const tokens = new Uint32Array(count * length);
    for (let window = 0; window < count; window++) {
      if (window % 2 === 0) tokens.set(this.next(length), window * length);
      else tokens.set(this.next(length - 1), window * length + 1);
    }
    return tokens;
  }
}
