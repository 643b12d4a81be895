import type { TokenReader } from "../../gpu/data/tokens.ts";

/** Token sequences held in memory. */
export class ArrayTokens implements TokenReader {
  readonly n_sequences: number;
  readonly length: number;
  readonly #ids: Uint32Array<ArrayBuffer>;
  readonly #kinds: Uint8Array<ArrayBuffer>;

  /** @param kinds [n_sequences, length]; all text without them. */
  constructor(sequences: readonly (readonly number[])[], kinds?: readonly number[]) {
    this.n_sequences = sequences.length;
    this.length = sequences[0]!.length;
    this.#ids = Uint32Array.from(sequences.flat());
    this.#kinds = Uint8Array.from(kinds ?? new Array(this.#ids.length).fill(0));
  }

  async read(first: number, count: number): Promise<Uint32Array<ArrayBuffer>> {
    return this.#ids.slice(first * this.length, (first + count) * this.length);
  }

  async kinds(first: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#kinds.slice(first * this.length, (first + count) * this.length);
  }
}
