/**
 * Half-precision formats to float32. Both are exact: every f16 and bf16 number, subnormals, infinities and NaN included,
 * is a float32 number. Bytes are little-endian, as in safetensors and on every machine that WebGPU runs on.
 */

let f16Table: Float32Array | null = null;

/** Value of every f16 bit pattern; 256 KiB, made at the first use. A look-up is faster than bit arithmetic per number. */
function float16Table(): Float32Array {
  if (f16Table) return f16Table;
  const bits = new Uint32Array(65_536);
  for (let half = 0; half < 65_536; half++) {
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0x1f) {
      bits[half] = sign | 0x7f80_0000 | (fraction << 13);
    } else if (exponent > 0) {
      bits[half] = sign | ((exponent + 112) << 23) | (fraction << 13);
    } else if (fraction === 0) {
      bits[half] = sign;
    } else {
      // Subnormal: fraction · 2^-24, whose leading bit becomes float32's hidden one.
      const lead = 31 - Math.clz32(fraction);
      bits[half] = sign | ((lead + 103) << 23) | ((fraction << (23 - lead)) & 0x7f_ffff);
    }
  }
  f16Table = new Float32Array(bits.buffer);
  return f16Table;
}

function halves(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, bytes.byteLength >>> 1);
}

/** IEEE 754 binary16. */
export function float32FromF16(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const table = float16Table();
  const from = halves(bytes);
  const values = new Float32Array(from.length);
  for (let index = 0; index < from.length; index++) values[index] = table[from[index]!]!;
  return values;
}

/** bfloat16: the upper half of a float32. */
export function float32FromBf16(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const from = halves(bytes);
  const bits = new Uint32Array(from.length);
  for (let index = 0; index < from.length; index++) bits[index] = from[index]! << 16;
  return new Float32Array(bits.buffer);
}

/** Float32 bytes as numbers, copied, so that they may start at any offset. */
export function float32FromF32(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(bytes.byteLength >>> 2);
  new Uint8Array(values.buffer).set(bytes.subarray(0, values.byteLength));
  return values;
}
