/** GPT-2's tokenizer (Radford et al. 2019) from Hugging Face's `tokenizer.json`: byte-level BPE, no special tokens. */

interface TokenizerJson {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
}

const words = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Every byte as a printable character: itself where it is one, otherwise U+0100 and on. */
const byteCharacters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();

/** Token ids of a text. */
export function tokenize(text: string, { model }: TokenizerJson): number[] {
  const ranks = new Map(
    model.merges.map((merge, rank) => [typeof merge === "string" ? merge : merge.join(" "), rank]),
  );
  const known = new Map<string, number[]>();
  return (text.match(words) ?? []).flatMap((word) => {
    const before = known.get(word);
    if (before !== undefined) return before;
    const ids = merged(word, ranks).map((piece) => model.vocab[piece]!);
    known.set(word, ids);
    return ids;
  });
}

/** The pieces of a word: the pair of lowest rank becomes one, wherever it stands, until no pair has a rank. */
function merged(word: string, ranks: ReadonlyMap<string, number>): string[] {
  let pieces = Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte]!);
  for (;;) {
    const pairs = pieces.slice(1).map((piece, i) => `${pieces[i]} ${piece}`);
    const rank = Math.min(...pairs.map((pair) => ranks.get(pair) ?? Number.POSITIVE_INFINITY));
    if (rank === Number.POSITIVE_INFINITY) return pieces;
    const next: string[] = [];
    for (let i = 0; i < pieces.length; i++) {
      const joins = i < pairs.length && ranks.get(pairs[i]!) === rank;
      next.push(joins ? pieces[i]! + pieces[++i]! : pieces[i]!);
    }
    pieces = next;
  }
}
