import { crc32, deflateRawSync } from "node:zlib";

/*
 * Zip archives written by hand, so that everything in them can be wrong.
 */

export interface ZipPart {
  name: string;
  data: Uint8Array;
  deflate?: boolean;
  /** What the directory claims, where that is not the truth. */
  claims?: {
    crc?: number;
    method?: number;
    flags?: number;
    packedBytes?: number;
    bytes?: number;
    offset?: number;
    nameAtStart?: string;
  };
}

/** An archive of the parts, in order. */
export function zip(parts: readonly ZipPart[]): Buffer {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, deflate = false, claims = {} } of parts) {
    const packed = deflate ? deflateRawSync(data) : Buffer.from(data);
    const nameBytes = Buffer.from(name, "utf8");
    const startName = Buffer.from(claims.nameAtStart ?? name, "utf8");
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(0x800 | (claims.flags ?? 0), 2);
    fields.writeUInt16LE(claims.method ?? (deflate ? 8 : 0), 4);
    fields.writeUInt32LE(claims.crc ?? crc32(data), 10);
    fields.writeUInt32LE(claims.packedBytes ?? packed.length, 14);
    fields.writeUInt32LE(claims.bytes ?? data.length, 18);
    fields.writeUInt16LE(nameBytes.length, 22);

    const start = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), fields]);
    start.writeUInt16LE(startName.length, 26);
    pieces.push(start, startName, packed);

    const end = Buffer.alloc(14);
    end.writeUInt32LE(claims.offset ?? offset, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x00", "latin1"), fields, end, nameBytes);
    offset += 30 + startName.length + packed.length;
  }
  const listing = Buffer.concat(directory);
  const tail = Buffer.alloc(22);
  tail.write("PK\x05\x06", "latin1");
  tail.writeUInt16LE(parts.length, 8);
  tail.writeUInt16LE(parts.length, 10);
  tail.writeUInt32LE(listing.length, 12);
  tail.writeUInt32LE(offset, 16);
  return Buffer.concat([...pieces, listing, tail]);
}
