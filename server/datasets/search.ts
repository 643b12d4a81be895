import { InvalidInputError } from "../errors.ts";
import type { DatasetDocument } from "./dataset.ts";
import { pieceBytes } from "./limits.ts";
import type { DatasetManifest } from "./manifest.ts";

export interface SearchMatch {
  /** Of the document. */
  index: number;
  /** Where in its text the first match stands, and its length, in UTF-16 code units. */
  start: number;
  length: number;
  /** The text around it, and where in that it stands. */
  excerpt: string;
  excerpt_start: number;
  /** Whether the text goes on behind the excerpt. */
  cut: boolean;
}

export interface SearchPage {
  matches: SearchMatch[];
  /** The document to go on from; null where all were looked at. */
  next: number | null;
  /** Documents that were looked at. */
  searched: number;
}

const maxTextLength = 1_000;
const maxMatches = 1_000;
const around = 80;
/** What is given up of it to begin and to end with a whole word. */
const partOfFirstWord = /^\S{0,24}\s+/;
const partOfLastWord = /\s+\S{0,24}$/;
/** After this a page ends, so that nobody waits; the next goes on from there. */
const maxMilliseconds = 2_000;

/** Looks for a text in documents one after another, in bounded memory and time. Throws `InvalidInputError`. */
export async function searchDocuments(
  {
    batches,
    manifest,
  }: {
    batches(start: number, bytes: number): AsyncGenerator<DatasetDocument[]>;
    manifest: Pick<DatasetManifest, "n_documents">;
  },
  text: string,
  from: number,
  limit: number,
): Promise<SearchPage> {
  if (text === "" || text.length > maxTextLength) {
    const message = `What to look for is a text of 1 to ${maxTextLength} characters.`;
    throw new InvalidInputError([{ path: "text", message }]);
  }
  const pattern = new RegExp(text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&").replace(/\\-/g, "-"), "iu");
  const most = Math.max(1, Math.min(limit, maxMatches));
  const began = performance.now();
  const matches: SearchMatch[] = [];
  for await (const documents of batches(from, pieceBytes)) {
    for (const { index, text: within } of documents) {
      const found = pattern.exec(within);
      if (found !== null) matches.push(match(index, within, found));
      const enough = matches.length === most || performance.now() - began > maxMilliseconds;
      if (enough && index + 1 < manifest.n_documents) {
        return { matches, next: index + 1, searched: index + 1 - from };
      }
    }
  }
  return { matches, next: null, searched: Math.max(0, manifest.n_documents - from) };
}

function match(index: number, text: string, found: RegExpExecArray): SearchMatch {
  const length = found[0].length;
  // Not between the halves of a character.
  const whole = (at: number) => (/[\uDC00-\uDFFF]/.test(text[at] ?? "") ? at - 1 : at);
  const reach = whole(Math.max(0, found.index - around));
  const stop = whole(Math.min(text.length, found.index + length + around));
  const before = text.slice(reach, found.index);
  const after = text.slice(found.index + length, stop);
  const first = reach === 0 ? 0 : reach + (partOfFirstWord.exec(before)?.[0].length ?? 0);
  const end = stop === text.length ? stop : stop - (partOfLastWord.exec(after)?.[0].length ?? 0);
  return {
    index,
    start: found.index,
    length,
    excerpt: text.slice(first, end),
    excerpt_start: found.index - first,
    cut: end < text.length,
  };
}
