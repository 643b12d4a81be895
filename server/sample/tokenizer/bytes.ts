/** The words that GPT-2's byte-level BPE merges within (Radford et al. 2019). */
export const wordPattern = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Every byte as a printable character, as GPT-2 writes it: itself where it is one, otherwise U+0100 and on. */
export const byteCharacters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();

export const characterPieces = (word: string): string[] =>
  Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte]!);
