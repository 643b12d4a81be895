import { createHash } from "node:crypto";
import path from "node:path";
import { type TokenReader, tokenKind } from "../../gpu/data/tokens.ts";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import type { WrittenFile } from "../artifacts/atomic-folder.ts";
import {
  captureMask,
  documentsFile,
  idsFile,
  maskNames,
  type SpanWords,
} from "../artifacts/captured-manifest.ts";
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

/** Whether any row is text, outside of the sequences that are held out. */
export async function hasText(
  tokens: TokenReader,
  held_out_sequences: number,
  excluded: ReadonlySet<number>,
): Promise<boolean> {
  const { length } = tokens;
  const trained = tokens.n_sequences - held_out_sequences;
  for (const [first, count] of parts({ n_sequences: trained, length })) {
    const mask = maskOf(await tokens.read(first, count), await tokens.kinds(first, count), excluded);
    if (mask.includes(captureMask.text)) return true;
  }
  return false;
}

/** Tokens by their mask, of whole masks that come one after another. */
export class MaskCounts {
  readonly all = { text: 0, special: 0, padding: 0, excluded: 0, outlier: 0 };
  /** Text before the token `apart`, and from there on. */
  training = 0;
  held_out = 0;
  #at = 0;
  readonly #apart: number;

  constructor(apart: number) {
    this.#apart = apart;
  }

  add(mask: Uint8Array): void {
    for (const kind of mask) {
      this.all[maskNames[kind]!]++;
      if (kind === captureMask.text && this.#at < this.#apart) this.training++;
      else if (kind === captureMask.text) this.held_out++;
      this.#at++;
    }
  }
}

/** Writes the files beside the rows. */
export async function writeSideFiles(
  folder: string,
  tokens: TokenSet,
): Promise<Record<"ids" | "documents", WrittenFile>> {
  return {
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

async function* idPieces(tokens: TokenSet) {
  for (const [first, count] of parts(tokens)) yield bytesOf(await tokens.read(first, count));
}

async function* documentPieces(tokens: TokenSet) {
  for (const [first, count] of parts(tokens)) {
    const words: number[] = [];
    for (let sequence = first; sequence < first + count; sequence++) {
      for (const { document, first: from, last, offset } of await tokens.documentsOf(sequence)) {
        const span: SpanWords = [sequence, document, from, last, offset];
        words.push(...span);
      }
    }
    yield bytesOf(Uint32Array.from(words));
  }
}

function* parts({
  n_sequences,
  length,
}: Pick<TokenReader, "n_sequences" | "length">): Generator<[first: number, count: number]> {
  const together = Math.max(1, Math.floor(tokensTogether / length));
  for (let first = 0; first < n_sequences; first += together) {
    yield [first, Math.min(together, n_sequences - first)];
  }
}

/** Every platform that Dawn runs on is little-endian. */
function bytesOf(words: Uint32Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
