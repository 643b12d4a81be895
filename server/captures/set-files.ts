import { createHash } from "node:crypto";
import path from "node:path";
import { type TokenReader, tokenKind } from "../../gpu/data/tokens.ts";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import type { WrittenFile } from "../artifacts/atomic-folder.ts";
import { captureMask, documentsFile, idsFile, maskFile } from "../artifacts/captured-manifest.ts";
import type { TokenSet } from "../tokens/token-set.ts";

// What stands beside the rows of a captured set: which of them are trained on, and where their text is.

/** Tokens that are gone through at a time. */
const tokensTogether = 2 ** 20;

/** Mask of sequences from their ids and kinds. */
export function maskOf(ids: Uint32Array, kinds: Uint8Array, excluded: ReadonlySet<number>): Uint8Array {
  if (excluded.size === 0) return kinds;
  return kinds.map((kind, token) =>
    kind === tokenKind.text && excluded.has(ids[token]!) ? captureMask.excluded : kind,
  );
}

export interface TextCounts {
  training: number;
  held_out: number;
}

/** Rows of text, in the sequences to train on and in those held out. */
export async function countText(
  tokens: TokenReader,
  held_out_sequences: number,
  excluded: ReadonlySet<number>,
): Promise<TextCounts> {
  const counts = { training: 0, held_out: 0 };
  const apart = tokens.n_sequences - held_out_sequences;
  for (const [first, count] of parts(tokens)) {
    const mask = maskOf(await tokens.read(first, count), await tokens.kinds(first, count), excluded);
    for (const [token, kind] of mask.entries()) {
      if (kind !== captureMask.text) continue;
      if (first + Math.floor(token / tokens.length) < apart) counts.training++;
      else counts.held_out++;
    }
  }
  return counts;
}

/** Writes the files beside the rows. */
export async function writeSideFiles(
  folder: string,
  tokens: TokenSet,
  excluded: ReadonlySet<number>,
): Promise<Record<"mask" | "ids" | "documents", WrittenFile>> {
  return {
    mask: await write(folder, maskFile, maskPieces(tokens, excluded)),
    ids: await write(folder, idsFile, idPieces(tokens)),
    documents: await write(folder, documentsFile, documentPieces(tokens)),
  };
}

async function write(folder: string, name: string, pieces: AsyncIterable<Uint8Array>): Promise<WrittenFile> {
  const hash = createHash("sha256");
  let bytes = 0;
  await writeWholeFile(path.join(folder, name), async (file) => {
    for await (const piece of pieces) {
      await file.writeFile(piece);
      hash.update(piece);
      bytes += piece.byteLength;
    }
  });
  return { name, bytes, sha256: hash.digest("hex") };
}

async function* maskPieces(tokens: TokenSet, excluded: ReadonlySet<number>) {
  for (const [first, count] of parts(tokens)) {
    yield maskOf(await tokens.read(first, count), await tokens.kinds(first, count), excluded);
  }
}

async function* idPieces(tokens: TokenSet) {
  for (const [first, count] of parts(tokens)) yield bytesOf(await tokens.read(first, count));
}

async function* documentPieces(tokens: TokenSet) {
  for (const [first, count] of parts(tokens)) {
    const words: number[] = [];
    for (let sequence = first; sequence < first + count; sequence++) {
      for (const { document, first: from, last, offset } of await tokens.documentsOf(sequence)) {
        const span: [number, number, number, number, number] = [sequence, document, from, last, offset];
        words.push(...span);
      }
    }
    yield bytesOf(Uint32Array.from(words));
  }
}

function* parts({ n_sequences, length }: TokenReader): Generator<[first: number, count: number]> {
  const together = Math.max(1, Math.floor(tokensTogether / length));
  for (let first = 0; first < n_sequences; first += together) {
    yield [first, Math.min(together, n_sequences - first)];
  }
}

/** Every platform that Dawn runs on is little-endian. */
function bytesOf(words: Uint32Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
