import { describe, expect, it } from "vitest";
import { tokenKind } from "../../gpu/data/tokens.ts";
import type { Packing } from "../../server/tokens/options.ts";
import { Packer } from "../../server/tokens/packer.ts";

const ids = { bos_id: 90, eos_id: 91, pad_id: 92, special_ids: [90, 91, 92, 93] };
const T = tokenKind.text;
const S = tokenKind.special;
const P = tokenKind.padding;

/** Sequences of the documents' ids, packed and taken apart again; `takes` says after which documents what is full is taken. */
function packed(packing: Partial<Packing>, documents: number[][], takes: number[] = []) {
  const whole: Packing = {
    context_size: 4,
    bos: "none",
    separator: "none",
    remainder: "drop",
    held_out: 0,
    ...packing,
  };
  const packer = new Packer(whole, ids);
  const parts: ReturnType<Packer["take"]>[] = [];
  documents.forEach((document, index) => {
    packer.add(index, Uint32Array.from(document));
    if (takes.includes(index)) parts.push(packer.take());
  });
  parts.push(packer.take());
  const { dropped, ...rest } = packer.end();
  parts.push(rest);
  const rows = (values: ArrayLike<number>) =>
    Array.from({ length: values.length / whole.context_size }, (_, row) =>
      Array.from(values).slice(row * whole.context_size, (row + 1) * whole.context_size),
    );
  return {
    ids: parts.flatMap((part) => rows(part.ids)),
    kinds: parts.flatMap((part) => rows(part.kinds)),
    spans: parts.flatMap(({ spans }) =>
      spans.map((own) => own.map(({ document, first, last, offset }) => [document, first, last, offset])),
    ),
    dropped,
  };
}

describe("packing without marks", () => {
  it("lays documents end to end, and says of every sequence which it holds from where", () => {
    const result = packed({}, [
      [1, 2, 3],
      [4, 5, 6, 7, 8, 9],
      [10, 11],
    ]);
    expect(result).toEqual({
      ids: [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
      ],
      kinds: [
        [T, T, T, T],
        [T, T, T, T],
      ],
      spans: [
        [
          [0, 0, 2, 0],
          [1, 3, 3, 0],
        ],
        [[1, 0, 3, 1]],
      ],
      dropped: 3,
    });
  });

  it("pads the rest where that is asked for, and drops nothing then", () => {
    const result = packed({ remainder: "pad" }, [[1, 2, 3, 4, 5]]);
    expect(result.ids).toEqual([
      [1, 2, 3, 4],
      [5, 92, 92, 92],
    ]);
    expect(result.kinds[1]).toEqual([T, P, P, P]);
    expect(result.spans[1]).toEqual([[0, 0, 0, 4]]);
    expect(result.dropped).toBe(0);
    expect(packed({ remainder: "pad" }, [[1, 2, 3, 4]]).ids).toHaveLength(1);
  });

  it("marks the special tokens that a text holds, and padding only what it put there itself", () => {
    expect(packed({}, [[1, 90, 93, 92]]).kinds).toEqual([[T, S, S, S]]);
  });

  it("is the same whenever what is full is taken", () => {
    const documents = [[1, 2, 3, 4, 5], [6], [], [7, 8, 9, 10, 11, 12, 13], [14, 15, 16]];
    for (const bos of ["none", "sequence", "document"] as const) {
      for (const separator of ["none", "eos", "bos"] as const) {
        const packing = { bos, separator, remainder: "pad" as const };
        const together = packed(packing, documents);
        expect(packed(packing, documents, [0, 1, 2, 3, 4])).toEqual(together);
        expect(packed(packing, documents, [3])).toEqual(together);
      }
    }
  });
});

describe("BOS and separators", () => {
  it("puts BOS first in every sequence, and a separator between documents", () => {
    const result = packed({ bos: "sequence", separator: "eos", remainder: "pad" }, [
      [1, 2],
      [3, 4, 5],
    ]);
    expect(result.ids).toEqual([
      [90, 1, 2, 91],
      [90, 3, 4, 5],
    ]);
    expect(result.kinds).toEqual([
      [S, T, T, S],
      [S, T, T, T],
    ]);
    expect(result.spans).toEqual([[[0, 1, 2, 0]], [[1, 1, 3, 0]]]);
  });

  it("leaves a separator away that would repeat a sequence's BOS", () => {
    const result = packed({ bos: "sequence", separator: "bos", remainder: "pad" }, [[1, 2, 3], [4, 5], [6]]);
    expect(result.ids).toEqual([
      [90, 1, 2, 3],
      [90, 4, 5, 90],
      [90, 6, 92, 92],
    ]);
  });

  it("puts BOS before every document, and not where one goes on", () => {
    const result = packed({ bos: "document", separator: "eos", remainder: "pad" }, [[1, 2, 3, 4], [5]]);
    expect(result.ids).toEqual([
      [90, 1, 2, 3],
      [4, 91, 90, 5],
    ]);
    expect(result.spans).toEqual([
      [[0, 1, 3, 0]],
      [
        [0, 0, 0, 3],
        [1, 3, 3, 0],
      ],
    ]);
  });

  it("puts nothing for a document without tokens", () => {
    const packing = { bos: "document" as const, separator: "eos" as const, remainder: "pad" as const };
    const result = packed(packing, [[], [1], [], [2], []]);
    expect(result.ids).toEqual([
      [90, 1, 91, 90],
      [2, 92, 92, 92],
    ]);
    expect(result.spans.flat().map(([document]) => document)).toEqual([1, 3]);
  });

  it("counts as dropped only the tokens of documents", () => {
    const result = packed({ bos: "sequence", separator: "eos" }, [[1, 2, 3], [4], [5, 6]]);
    expect(result.ids).toEqual([
      [90, 1, 2, 3],
      [90, 91, 4, 91],
    ]);
    // BOS stands before these two as well.
    expect(result.dropped).toBe(2);
  });
});
