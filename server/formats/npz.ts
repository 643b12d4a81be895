import { SaeFormatError } from "./sae-format-error.ts";
import type { StoredTensor, TensorFile } from "./tensor-file.ts";
import { openZip, type ZipEntry } from "./zip.ts";

/*
 * numpy's .npz: a zip of .npy files, each a magic word, a header that is a Python dictionary in text, and the numbers.
 * The header is recognised, not evaluated: numpy always writes the same three keys in the same order.
 */

/** numpy's own limit. */
const maxHeaderBytes = 10_000;

/** numpy's type strings, and safetensors' names and bytes per element for them. */
const types: ReadonlyMap<string, { dtype: string; bytes: number }> = new Map([
  ["<f8", { dtype: "F64", bytes: 8 }],
  ["<f4", { dtype: "F32", bytes: 4 }],
  ["<f2", { dtype: "F16", bytes: 2 }],
  ["<i8", { dtype: "I64", bytes: 8 }],
  ["<i4", { dtype: "I32", bytes: 4 }],
]);

const headerForm =
  /^\{ ?'descr': ?(?<descr>'[^']{1,20}'|\[.*\]), ?'fortran_order': ?(?<fortran>True|False), ?'shape': ?\((?<shape>[\d, ]*)\),? ?\}\s*$/;

/** Opens an archive and reads the header of every array in it. Throws `SaeFormatError`. */
export async function openNpz(file: string): Promise<TensorFile> {
  const zip = await openZip(file);
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const entry of zip.entries.values()) {
      if (!entry.name.endsWith(".npy")) {
        throw new SaeFormatError(`${file} holds ${entry.name}; an .npz holds .npy arrays and nothing else.`);
      }
      const tensor = await openNpy(`${file}: ${entry.name}`, entry);
      tensors.set(tensor.name, tensor);
    }
    return { file, tensors, close: () => zip.close() };
  } catch (error) {
    await zip.close();
    throw error;
  }
}

async function openNpy(label: string, entry: ZipEntry): Promise<StoredTensor> {
  const start = await entry.readStart(12 + maxHeaderBytes);
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const isNpy = start.length >= 10 && view.getUint32(0) === 0x93_4e_55_4d && view.getUint16(4) === 0x50_59;
  if (!isNpy) throw new SaeFormatError(`${label} is not a numpy array. Copy or download the file again.`);
  const major = start[6]!;
  const prefix = major === 1 ? 10 : 12;
  if (major < 1 || major > 3 || start.length < prefix) {
    throw new SaeFormatError(`${label} is in version ${major} of numpy's format; 1, 2 and 3 are read.`);
  }
  const headerBytes = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (headerBytes > maxHeaderBytes || prefix + headerBytes > entry.bytes) {
    throw new SaeFormatError(
      `${label} claims a header of ${headerBytes} bytes; it has ${entry.bytes} in all, and ${maxHeaderBytes} is numpy's limit.`,
    );
  }
  const text = new TextDecoder("latin1").decode(start.subarray(prefix, prefix + headerBytes));
  const { dtype, shape, bytes } = parseHeader(label, text);
  const dataBytes = entry.bytes - prefix - headerBytes;
  if (bytes !== dataBytes) {
    throw new SaeFormatError(
      `${label} of shape [${shape.join(", ")}] in ${dtype} takes ${bytes} bytes, but has ${dataBytes}. Copy or download the file again.`,
    );
  }
  return {
    name: entry.name.slice(0, -".npy".length),
    dtype,
    shape,
    bytes: async () => (await entry.read()).subarray(prefix + headerBytes),
  };
}

function parseHeader(label: string, text: string): { dtype: string; shape: number[]; bytes: number } {
  const parts = headerForm.exec(text)?.groups;
  if (parts === undefined) {
    throw new SaeFormatError(
      `${label} has a header that numpy does not write: ${JSON.stringify(text.slice(0, 80))}. It was not evaluated; save the array again with numpy.savez.`,
    );
  }
  const { descr = "", fortran, shape: extents = "" } = parts;
  if (descr.includes("O")) {
    throw new SaeFormatError(
      `${label} holds Python objects (dtype ${descr.slice(0, 40)}), which are pickles and are not read. Save an array of numbers.`,
    );
  }
  const type = types.get(descr.slice(1, -1));
  if (type === undefined) {
    throw new SaeFormatError(
      `${label} has dtype ${descr.slice(0, 40)}; little-endian floats and integers are read. Save it with .astype("float32").`,
    );
  }
  if (fortran === "True") {
    throw new SaeFormatError(
      `${label} is in Fortran order; rows must be contiguous. Save numpy.ascontiguousarray of it.`,
    );
  }
  const shape = extents
    .split(",")
    .map((extent) => extent.trim())
    .filter((extent) => extent !== "")
    .map(Number);
  if (shape.length > 8 || !shape.every(Number.isSafeInteger)) {
    throw new SaeFormatError(`${label} has the shape (${extents.slice(0, 80)}), which no array can have.`);
  }
  return { dtype: type.dtype, shape, bytes: shape.reduce((product, extent) => product * extent, type.bytes) };
}
