import { byteCharacters, characterPieces, wordPattern } from "./bytes.ts";

export interface Vocabulary {
  /** The text's end, which is the beginning too, then the 256 bytes, then what merges made. */
  tokens: string[];
  /** In the order of their ranks. */
  merges: [string, string][];
}

export const endOfText = "<|endoftext|>";

interface Word {
  pieces: string[];
  count: number;
}

/**
 * Byte-level BPE (Sennrich et al. 2016): the pair of pieces that occurs most becomes one piece, until there are `size`
 * tokens. Of pairs that occur as often the first in the order of characters is taken.
 */
export function trainVocabulary(texts: readonly string[], size: number): Vocabulary {
  const words = countedWords(texts);
  const tokens = [endOfText, ...byteCharacters];
  const merges: [string, string][] = [];
  while (tokens.length < size) {
    const pair = commonest(words);
    if (pair === null) break;
    merges.push(pair);
    tokens.push(pair[0] + pair[1]);
    for (const word of words) word.pieces = joined(word.pieces, pair);
  }
  return { tokens, merges };
}

function countedWords(texts: readonly string[]): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of text.match(wordPattern) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return Array.from(counts, ([word, count]) => ({ pieces: characterPieces(word), count }));
}

function commonest(words: readonly Word[]): [string, string] | null {
  const counts = new Map<string, number>();
  for (const { pieces, count } of words) {
    for (let i = 1; i < pieces.length; i++) {
      const pair = `${pieces[i - 1]} ${pieces[i]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | null = null;
  let most = 0;
  for (const [pair, count] of counts) {
    if (count < most || (count === most && best !== null && pair > best)) continue;
    best = pair;
    most = count;
  }
  return best === null ? null : (best.split(" ") as [string, string]);
}

function joined(pieces: readonly string[], [left, right]: readonly [string, string]): string[] {
  const next: string[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      next.push(left + right);
      i++;
    } else next.push(pieces[i]!);
  }
  return next;
}
