import type { Tokenizer } from "@huggingface/tokenizers";
import type { TokenizerJson } from "./tokenizer-file.ts";

/** What a token stands for in a text. */
export interface TokenText {
  /** To be read: bytes that are no whole character as `<0xE2>`. */
  shown: string;
  /** Its own bytes in UTF-8. */
  bytes: Uint8Array;
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes by the printable characters that stand for them in GPT-2's vocabulary (Radford et al. 2019): themselves where they are printable, else U+0100 and on. */
const byteOf: ReadonlyMap<string, number> = (() => {
  let next = 0x100;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => {
      const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
      return [String.fromCodePoint(printable ? byte : next++), byte] as const;
    }),
  );
})();

/** Says of every id what it stands for; an id without a token, as padded vocabularies have them, is shown as such. */
export function tokenTexts(tokenizer: Tokenizer, json: TokenizerJson): (id: number) => TokenText {
  const byteLevel = JSON.stringify(json.decoder ?? "").includes('"ByteLevel"');
  const added = new Set(json.added_tokens.map((token) => token.id));
  return (id) => {
    const token = tokenizer.id_to_token(id);
    if (token === undefined) return { shown: `<${id}>`, bytes: new Uint8Array() };
    if (added.has(id)) return { shown: token, bytes: Buffer.from(token) };
    const bytes = byteLevel ? bytesOfCharacters(token) : bytesOfPiece(token);
    return { shown: shownBytes(bytes), bytes };
  };
}

function bytesOfCharacters(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => byteOf.get(character));
  return bytes.includes(undefined) ? Buffer.from(token) : Uint8Array.from(bytes as number[]);
}

/** SentencePiece writes spaces as U+2581, and bytes it has no piece for as <0xE2>. */
function bytesOfPiece(token: string): Uint8Array {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
  return byte === null ? Buffer.from(token.replaceAll("\u2581", " ")) : Buffer.from(byte[1]!, "hex");
}

function shownBytes(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return Array.from(bytes, (byte) =>
      byte < 0x80 ? String.fromCharCode(byte) : `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    ).join("");
  }
}

/**
 * Where tokens stand in their text, in UTF-16 code units; null where they are not its bytes, as after a normaliser. A
 * character that several tokens make up belongs to each of them.
 */
export function tokenPlaces(
  text: string,
  tokens: readonly Uint8Array[],
): { start: number; end: number }[] | null {
  const whole = Buffer.from(text);
  if (!whole.equals(Buffer.concat(tokens))) return null;
  // Code units before each byte, and before the end; of a byte within a character those before the character.
  const before = new Uint32Array(whole.byteLength + 1);
  let units = 0;
  let last = 0;
  for (let at = 0; at < whole.byteLength; at++) {
    const byte = whole[at]!;
    if ((byte & 0xc0) !== 0x80) {
      last = units;
      units += byte >= 0xf0 ? 2 : 1;
    }
    before[at] = last;
  }
  before[whole.byteLength] = units;
  let at = 0;
  return tokens.map((bytes) => {
    const start = before[at]!;
    at += bytes.byteLength;
    let next = at;
    while (next < whole.byteLength && (whole[next]! & 0xc0) === 0x80) next++;
    return { start, end: before[next]! };
  });
}
