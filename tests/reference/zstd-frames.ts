/** Zstandard streams (RFC 8878) written by hand of raw and run-length blocks, so that everything in them can be wrong. */

export interface FrameClaims {
  /** Window descriptor: 2^(10 + (it >> 3)) bytes and eighths of that. */
  window?: number;
  dictionary?: number;
}

/** One frame that unpacks to `data`. */
export function rawFrame(data: Uint8Array, claims: FrameClaims = {}): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at === 0 || at < data.byteLength; at += 2 ** 16) {
    const part = data.subarray(at, at + 2 ** 16);
    blocks.push(blockHeader(part.byteLength, 0, at + 2 ** 16 >= data.byteLength), Buffer.from(part));
  }
  return Buffer.concat([frameHeader(claims), ...blocks]);
}

/** One frame of `lines` lines of 8 MiB of one letter, each of which takes some hundred bytes. */
export function bombFrame(lines: number): Buffer {
  const line = Buffer.concat([
    ...Array.from({ length: 64 }, () => Buffer.concat([blockHeader(2 ** 17, 1, false), Buffer.from("a")])),
    blockHeader(1, 0, false),
    Buffer.from("\n"),
  ]);
  const all = Array.from({ length: lines }, () => line);
  return Buffer.concat([frameHeader({}), ...all, blockHeader(0, 0, true)]);
}

function frameHeader({ window = 0x38, dictionary }: FrameClaims): Buffer {
  const id = dictionary === undefined ? [] : [dictionary];
  return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, dictionary === undefined ? 0 : 1, window, ...id]);
}

function blockHeader(size: number, type: 0 | 1, last: boolean): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1) | (last ? 1 : 0), 0, 3);
  return header;
}
