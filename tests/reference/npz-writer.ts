import { zip } from "./zip-writer.ts";

/** A .npy file of version 1.0 with this header text, padded as numpy does, and these bytes. */
export function npyOf(header: string, data: Uint8Array, version = 1): Buffer {
  const prefix = version === 1 ? 10 : 12;
  const padded = header.padEnd(64 * Math.ceil((prefix + header.length + 1) / 64) - prefix - 1, " ");
  const text = Buffer.from(`${padded}\n`, "latin1");
  const start = Buffer.alloc(prefix);
  start.write("\x93NUMPY", "latin1");
  start[6] = version;
  if (version === 1) start.writeUInt16LE(text.length, 8);
  else start.writeUInt32LE(text.length, 8);
  return Buffer.concat([start, text, data]);
}

/** What numpy.save writes for float32. */
export function npy(shape: readonly number[], values: readonly number[]): Buffer {
  const data = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) data.writeFloatLE(value, 4 * at);
  const extents = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  return npyOf(`{'descr': '<f4', 'fortran_order': False, 'shape': (${extents}), }`, data);
}

/** What numpy.savez writes, or numpy.savez_compressed. */
export function npz(arrays: Record<string, { shape: number[]; values: number[] }>, deflate = false): Buffer {
  return zip(
    Object.entries(arrays).map(([name, { shape, values }]) => ({
      name: `${name}.npy`,
      data: npy(shape, values),
      deflate,
    })),
  );
}
