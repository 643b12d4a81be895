import { describe, expect, it } from "vitest";
import {
  type ByteSource,
  blobSource,
  readFloats,
  readSafetensorsHeader,
  readWords,
  SafetensorsError,
  safetensorsPieces,
  tensorInfo,
} from "../../gpu/data/safetensors.ts";

/** A source that refuses to be read outside its bounds, as a file would. */
function memory(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    async read(offset, length) {
      if (offset < 0 || offset + length > bytes.length) throw new Error("read outside the file");
      return bytes.slice(offset, offset + length);
    },
  };
}

function join(pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(pieces.flatMap((piece) => [...piece]));
}

/** A file with this header text and that many bytes of tensors. */
function file(header: string, dataBytes: number, claimed?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

describe("writing and reading", () => {
  const pieces = () =>
    safetensorsPieces(
      [
        { name: "W_dec", shape: [2, 3], data: new Float32Array([1, -2, 3.5, 0, 1e-40, 6]) },
        { name: "10", shape: [2], data: new Uint32Array([7, 4_000_000_000]) },
        { name: "2", shape: [], data: new Float32Array([9]) },
        { name: 'é "quoted"', shape: [0, 4], data: new Float32Array(0) },
      ],
      { hook_name: "blocks.0" },
    );

  it("returns what was written, in the order given", async () => {
    const bytes = join(pieces());
    for (const source of [memory(bytes), blobSource(new Blob([bytes]))]) {
      const header = await readSafetensorsHeader(source);
      expect([...header.tensors.keys()].sort()).toEqual(["W_dec", "10", "2", 'é "quoted"'].sort());
      expect(header.metadata.get("hook_name")).toBe("blocks.0");
      const W_dec = tensorInfo(header, "W_dec");
      expect(W_dec.shape).toEqual([2, 3]);
      expect([...(await readFloats(source, W_dec))]).toEqual([1, -2, 3.5, 0, Math.fround(1e-40), 6]);
      expect([...(await readFloats(source, W_dec, 1, 2))]).toEqual([-2, 3.5]);
      expect([...(await readWords(source, tensorInfo(header, "10")))]).toEqual([7, 4_000_000_000]);
      expect([...(await readFloats(source, tensorInfo(header, "2")))]).toEqual([9]);
      expect(() => tensorInfo(header, "W_enc")).toThrow('There is no tensor "W_enc"');
      await expect(readFloats(source, tensorInfo(header, "10"))).rejects.toThrow(SafetensorsError);
    }
  });

  it("is laid out as the format asks: padded header, row-major little-endian data, equal bytes each time", () => {
    const bytes = join(pieces());
    expect(join(pieces())).toEqual(bytes);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
    expect(text.indexOf('"W_dec"')).toBeLessThan(text.indexOf('"10"'));
    expect(JSON.parse(text).W_dec).toEqual({ dtype: "F32", shape: [2, 3], data_offsets: [0, 24] });
    expect(new DataView(bytes.buffer).getFloat32(8 + length + 4, true)).toBe(-2);
  });

  it("refuses to write a shape that is not the data's, or a name twice", () => {
    const data = new Float32Array(3);
    expect(() => safetensorsPieces([{ name: "a", shape: [2], data }])).toThrow("has 3 elements");
    const twice = { name: "a", shape: [3], data };
    expect(() => safetensorsPieces([twice, twice])).toThrow("twice");
  });
});

describe("hostile files", () => {
  const ok = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const two = (a: string, b: string) =>
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":${a}},"b":{"dtype":"U8","shape":[4],"data_offsets":${b}}}`;

  const cases: Record<string, [Uint8Array, RegExp]> = {
    empty: [new Uint8Array(0), /too few/],
    "seven bytes": [new Uint8Array(7), /too few/],
    "header longer than the file": [file(ok, 8, 1_000n), /claims 1000 bytes/],
    "header of 2^64-1 bytes": [file(ok, 8, 2n ** 64n - 1n), /claims/],
    "not JSON": [file("{a:1}", 0), /not JSON/],
    "invalid UTF-8": [new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0, 0xff]), /not JSON/],
    "an array": [file("[]", 0), /not a JSON object/],
    null: [file("null", 0), /not a JSON object/],
    "deeply nested": [file(`{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`, 0), /nested too deeply/],
    "a tensor that is a number": [file('{"a":1}', 0), /no description/],
    "unknown dtype": [file('{"a":{"dtype":"F7","shape":[],"data_offsets":[0,0]}}', 0), /unknown dtype "F7"/],
    "dtype from the prototype": [
      file('{"a":{"dtype":"constructor","shape":[],"data_offsets":[0,0]}}', 0),
      /unknown dtype/,
    ],
    "negative extent": [file('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', 8), /no valid shape/],
    "fractional extent": [
      file('{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}}', 6),
      /no valid shape/,
    ],
    "extents that overflow": [
      file('{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}', 8),
      /takes .* bytes/,
    ],
    "offsets backwards": [file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', 8), /lies at bytes/],
    "offsets past the end": [
      file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 4),
      /lies at bytes/,
    ],
    "three offsets": [file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', 8), /data_offsets/],
    "text offsets": [file('{"a":{"dtype":"F32","shape":[2],"data_offsets":["0","8"]}}', 8), /data_offsets/],
    "shape that is not the bytes": [
      file('{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}}', 8),
      /takes 4 bytes, but the header gives it 8/,
    ],
    overlap: [file(two("[0,4]", "[2,6]"), 6), /overlaps/],
    "equal ranges": [file(two("[0,4]", "[0,4]"), 4), /overlaps/],
    gap: [file(two("[0,4]", "[5,9]"), 9), /gap/],
    "bytes at the end": [file(ok, 9), /1 bytes after its last tensor/],
    "a tensor twice": [
      file(
        '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\\u0061":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        4,
      ),
      /"a" twice/,
    ],
    "a field twice": [
      file('{"a":{"dtype":"F32","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', 4),
      /"dtype" twice/,
    ],
    "metadata of numbers": [file('{"__metadata__":{"a":1}}', 0), /is not a text/],
  };
  for (const [name, [bytes, message]] of Object.entries(cases)) {
    it(`${name}: a typed error in words`, async () => {
      const reading = readSafetensorsHeader(memory(bytes));
      await expect(reading).rejects.toThrow(SafetensorsError);
      await expect(reading).rejects.toThrow(message);
    });
  }

  it("reads a tensor named __proto__ like any other", async () => {
    const bytes = file('{"__proto__":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8);
    const header = await readSafetensorsHeader(memory(bytes));
    expect([...header.tensors.keys()]).toEqual(["__proto__"]);
  });

  it("takes any cut or changed byte of the header for what it is, never crashing otherwise", async () => {
    const good = file(two("[0,4]", "[4,8]"), 8);
    for (let length = 0; length < good.length; length++) {
      await expect(readSafetensorsHeader(memory(good.slice(0, length)))).rejects.toThrow(SafetensorsError);
    }
    for (let at = 0; at < good.length - 8; at++) {
      for (const value of [0, 0x22, 0x7b, 0x39, 0xff]) {
        const bad = good.slice();
        bad[at] = value;
        await readSafetensorsHeader(memory(bad)).catch((error: unknown) => {
          expect(error).toBeInstanceOf(SafetensorsError);
        });
      }
    }
  });
});
