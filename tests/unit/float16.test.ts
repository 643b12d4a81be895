import { expect, it } from "vitest";
import { float32FromBf16, float32FromF16, float32FromF32 } from "../../gpu/data/float16.ts";

const everyPattern = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, half) => half).buffer);

/** The definition of IEEE 754 binary16, in float64. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15);
}

it("converts every f16 exactly, subnormals, signed zeros, infinities and NaN included", () => {
  const values = float32FromF16(everyPattern);
  for (let bits = 0; bits < 65_536; bits++) {
    if (!Object.is(values[bits], half(bits))) throw new Error(`f16 ${bits.toString(16)}: ${values[bits]}`);
  }
});

it("converts every bf16 exactly", () => {
  const values = float32FromBf16(everyPattern);
  const view = new DataView(new ArrayBuffer(4));
  for (let bits = 0; bits < 65_536; bits++) {
    view.setUint16(0, bits);
    if (!Object.is(values[bits], view.getFloat32(0)))
      throw new Error(`bf16 ${bits.toString(16)}: ${values[bits]}`);
  }
});

it("reads from any byte offset", () => {
  const bytes = new Uint8Array(13);
  bytes.set(new Uint8Array(new Float32Array([1.5, -2]).buffer), 1);
  expect([...float32FromF32(bytes.subarray(1, 9))]).toEqual([1.5, -2]);
  bytes.set([0x00, 0x3c, 0x00, 0xc0], 1);
  expect([...float32FromF16(bytes.subarray(1, 5))]).toEqual([1, -2]);
  bytes.set([0x80, 0x3f, 0x00, 0xc0], 1);
  expect([...float32FromBf16(bytes.subarray(1, 5))]).toEqual([1, -2]);
});
