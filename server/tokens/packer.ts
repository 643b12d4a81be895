import { tokenKind } from "../../gpu/data/tokens.ts";
import type { Packing } from "./options.ts";

/** Positions first … last of a sequence hold tokens of a document, from its token `offset` on; all from 0. */
export interface DocumentSpan {
  document: number;
  first: number;
  last: number;
  offset: number;
}

/** Whole sequences one after another: ids and kinds [count, context_size], and the spans of each. */
export interface PackedSequences {
  count: number;
  ids: Uint32Array<ArrayBuffer>;
  kinds: Uint8Array<ArrayBuffer>;
  spans: DocumentSpan[][];
}

export interface PackingIds {
  bos_id: number | null;
  eos_id: number | null;
  pad_id: number;
  special_ids: readonly number[];
}

/**
 * Lays documents end to end and cuts them into sequences of `context_size`. A document goes on in the next sequence
 * where one is full. A separator that would follow a sequence's BOS as the same token is left away, and a document
 * without tokens leaves nothing.
 */
export class Packer {
  readonly #packing: Packing;
  readonly #special: ReadonlySet<number>;
  readonly #bos: number;
  readonly #separator: number | null;
  readonly #pad: number;
  #ids = new Uint32Array(2 ** 16);
  #kinds = new Uint8Array(2 ** 16);
  #spans: DocumentSpan[][] = [];
  /** Tokens since the last `take`. */
  #fill = 0;
  #first = true;

  constructor(packing: Packing, ids: PackingIds) {
    this.#packing = packing;
    this.#special = new Set(ids.special_ids);
    this.#bos = ids.bos_id ?? 0;
    this.#separator = { bos: ids.bos_id, eos: ids.eos_id, none: null }[packing.separator];
    this.#pad = ids.pad_id;
  }

  /** @param ids Of the document's tokens, without any put in front or behind. */
  add(document: number, ids: Uint32Array): void {
    if (ids.length === 0) return;
    if (!this.#first && this.#separator !== null) this.#separate(this.#separator);
    this.#first = false;
    if (this.#packing.bos === "document") this.#put(this.#bos, tokenKind.special);
    const { context_size } = this.#packing;
    for (let offset = 0; offset < ids.length; ) {
      this.#begin();
      const first = this.#fill % context_size;
      const count = Math.min(context_size - first, ids.length - offset);
      this.#reserve(count);
      for (let at = 0; at < count; at++) {
        const id = ids[offset + at]!;
        this.#ids[this.#fill + at] = id;
        this.#kinds[this.#fill + at] = this.#special.has(id) ? tokenKind.special : tokenKind.text;
      }
      const sequence = Math.floor(this.#fill / context_size);
      while (this.#spans.length <= sequence) this.#spans.push([]);
      this.#spans[sequence]!.push({ document, first, last: first + count - 1, offset });
      this.#fill += count;
      offset += count;
    }
  }

  /** The sequences that are full. */
  take(): PackedSequences {
    const { context_size } = this.#packing;
    const count = Math.floor(this.#fill / context_size);
    const taken = count * context_size;
    const packed = {
      count,
      ids: this.#ids.slice(0, taken),
      kinds: this.#kinds.slice(0, taken),
      spans: Array.from({ length: count }, (_, sequence) => this.#spans[sequence] ?? []),
    };
    this.#ids.copyWithin(0, taken, this.#fill);
    this.#kinds.copyWithin(0, taken, this.#fill);
    this.#spans = this.#spans.slice(count);
    this.#fill -= taken;
    return packed;
  }

  /** The rest, padded to a sequence or none of it, and the document tokens that are dropped so. After `take` alone. */
  end(): PackedSequences & { dropped: number } {
    const { context_size, remainder } = this.#packing;
    const rest = this.#fill % context_size;
    if (remainder === "drop") {
      const spans = this.#spans.at(-1) ?? [];
      const dropped = rest === 0 ? 0 : spans.reduce((sum, { first, last }) => sum + last - first + 1, 0);
      this.#fill -= rest;
      return { ...this.take(), dropped };
    }
    if (rest > 0) for (let at = rest; at < context_size; at++) this.#push(this.#pad, tokenKind.padding);
    return { ...this.take(), dropped: 0 };
  }

  #separate(id: number): void {
    this.#begin();
    const { context_size, bos } = this.#packing;
    const follows = bos === "sequence" && this.#fill % context_size === 1;
    if (!follows || id !== this.#bos) this.#push(id, tokenKind.special);
  }

  #put(id: number, kind: number): void {
    this.#begin();
    this.#push(id, kind);
  }

  /** What stands at the start of a sequence. */
  #begin(): void {
    const { context_size, bos } = this.#packing;
    if (bos === "sequence" && this.#fill % context_size === 0) this.#push(this.#bos, tokenKind.special);
  }

  #push(id: number, kind: number): void {
    this.#reserve(1);
    this.#ids[this.#fill] = id;
    this.#kinds[this.#fill] = kind;
    this.#fill++;
  }

  #reserve(count: number): void {
    if (this.#fill + count <= this.#ids.length) return;
    const size = Math.max(2 * this.#ids.length, this.#fill + count);
    const ids = new Uint32Array(size);
    const kinds = new Uint8Array(size);
    ids.set(this.#ids);
    kinds.set(this.#kinds);
    this.#ids = ids;
    this.#kinds = kinds;
  }
}
