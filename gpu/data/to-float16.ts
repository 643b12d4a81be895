/**
 * The IEEE 754 binary16 nearest to each number, ties to even: its bits. From 65520 on it is infinite; NaN stays NaN.
 * @param values f32 [n].
 */
export function float16Bits(values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const from = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < from.length; i++) {
    const bits = from[i]!;
    const size = bits & 0x7fff_ffff;
    halves[i] = ((bits >>> 16) & 0x8000) | magnitude(size);
  }
  return halves;
}

/** Of the bits of a number without its sign. */
function magnitude(size: number): number {
  if (size > 0x7f80_0000) return 0x7e00;
  if (size >= 0x477f_f000) return 0x7c00;
  // Normal from 2^-14 on: 13 bits of the fraction go, 112 of the exponent.
  if (size >= 0x3880_0000) return ((size + 0xfff + ((size >>> 13) & 1)) >>> 13) - (112 << 10);
  if (size <= 0x3300_0000) return 0;
  // A multiple of 2^-24.
  const fraction = (size & 0x7f_ffff) | 0x80_0000;
  const gone = 126 - (size >>> 23);
  return (fraction + (1 << (gone - 1)) - 1 + ((fraction >>> gone) & 1)) >>> gone;
}
