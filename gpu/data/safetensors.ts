import { float32FromBf16, float32FromF16, float32FromF32 } from "./float16.ts";
import { nestsDeeperThan } from "./json-depth.ts";

/**
 * The safetensors format (huggingface.co/docs/safetensors): u64 little-endian header length, JSON header, tensors.
 * What is read is taken for hostile: every bound is checked before anything is allocated by it.
 */

/** Bytes per element. */
const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;
export type Dtype = keyof typeof dtypeBytes;

/** Longest header that is read; the reference implementation's limit. */
const maxHeaderBytes = 100_000_000;

/** Deepest nesting of a header that is parsed; the format itself nests to 3. */
const maxHeaderDepth = 8;

/** Most bytes of one tensor that are held in memory at once: no engine has longer typed arrays everywhere. */
const maxTensorBytes = 2 ** 32 - 8;

/** A file that is not, or not safely, a safetensors file; the message says what is wrong with it. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";
}

/** Bytes with random access: a file, a Blob, a buffer. `read` gives exactly `length` bytes or throws. */
export interface ByteSource {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A browser's Blob or File. */
export function blobSource(blob: Blob): ByteSource {
  return {
    size: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}

export interface TensorInfo {
  name: string;
  dtype: Dtype;
  shape: number[];
  /** Place in the file, in bytes. */
  offset: number;
  bytes: number;
}

export interface SafetensorsHeader {
  tensors: Map<string, TensorInfo>;
  metadata: Map<string, string>;
}

/** Reads and checks the header. Throws `SafetensorsError`. */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  if (source.size < 8) {
    throw new SafetensorsError(`The file has ${source.size} bytes, too few for a safetensors header.`);
  }
  const prefix = await source.read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > maxHeaderBytes || length > source.size - 8) {
    throw new SafetensorsError(
      `The header claims ${length} bytes, but the file has ${source.size} and headers end at ${maxHeaderBytes}; ` +
        "this is not a safetensors file, or it is cut off.",
    );
  }
  const entries = parseHeader(await source.read(8, length));
  const header: SafetensorsHeader = { tensors: new Map(), metadata: new Map() };
  const dataStart = 8 + length;
  for (const [name, entry] of entries) {
    if (name === "__metadata__") header.metadata = parseMetadata(entry);
    else header.tensors.set(name, parseTensor(name, entry, dataStart, source.size));
  }
  checkCoverage([...header.tensors.values()], dataStart, source.size);
  return header;
}

function parseHeader(bytes: Uint8Array): [string, unknown][] {
  let text: string;
  let parsed: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (nestsDeeperThan(text, maxHeaderDepth)) {
      throw new SafetensorsError("The header is nested too deeply; this is not a safetensors file.");
    }
    parsed = JSON.parse(text);
  } catch (cause) {
    if (cause instanceof SafetensorsError) throw cause;
    throw new SafetensorsError("The header is not JSON; this is not a safetensors file.", { cause });
  }
  if (!isRecord(parsed)) throw new SafetensorsError("The header is not a JSON object.");
  const duplicate = duplicateKey(text);
  if (duplicate !== null) throw new SafetensorsError(`The header names ${quoted(duplicate)} twice.`);
  return Object.entries(parsed);
}

/** First key that an object of this valid JSON text has twice; JSON.parse would keep the last and say nothing. */
function duplicateKey(text: string): string | null {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(null);
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const start = at++;
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
      let next = at + 1;
      while (" \t\n\r".includes(text[next] ?? "x")) next++;
      if (text[next] !== ":") continue;
      const key = String(JSON.parse(text.slice(start, at + 1)));
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return null;
}

function parseMetadata(entry: unknown): Map<string, string> {
  const metadata = new Map<string, string>();
  if (!isRecord(entry)) throw new SafetensorsError("__metadata__ is not a JSON object.");
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== "string") throw new SafetensorsError(`__metadata__ ${quoted(key)} is not a text.`);
    metadata.set(key, value);
  }
  return metadata;
}

function parseTensor(name: string, entry: unknown, dataStart: number, size: number): TensorInfo {
  const label = `Tensor ${quoted(name)}`;
  if (!isRecord(entry)) throw new SafetensorsError(`${label} has no description.`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype)) throw new SafetensorsError(`${label} has the unknown dtype ${quoted(String(dtype))}.`);
  if (!Array.isArray(shape) || shape.length > 16 || !shape.every(isCount)) {
    throw new SafetensorsError(`${label} has no valid shape.`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw new SafetensorsError(`${label} has no valid data_offsets.`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > size - dataStart) {
    throw new SafetensorsError(
      `${label} lies at bytes ${begin} to ${end}, but there are ${size - dataStart} bytes of tensors; the file is damaged or cut off.`,
    );
  }
  const bytes = (shape as number[]).reduce((product, extent) => product * extent, dtypeBytes[dtype]);
  if (bytes !== end - begin) {
    throw new SafetensorsError(
      `${label} of shape [${shape.join(", ")}] in ${dtype} takes ${bytes} bytes, but the header gives it ${end - begin}.`,
    );
  }
  return { name, dtype, shape: shape as number[], offset: dataStart + begin, bytes };
}

/** Tensors must follow one another without overlap, gap or rest, so that no byte has two meanings or none. */
function checkCoverage(tensors: TensorInfo[], dataStart: number, size: number): void {
  let end = dataStart;
  for (const tensor of tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset !== end) {
      const fault = tensor.offset < end ? "overlaps the tensor before it" : "leaves a gap before it";
      throw new SafetensorsError(`Tensor ${quoted(tensor.name)} ${fault}.`);
    }
    end += tensor.bytes;
  }
  if (end !== size) {
    throw new SafetensorsError(`The file has ${size - end} bytes after its last tensor that belong to none.`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(dtypeBytes, value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A name from the file, short enough for a message. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

/** The tensor of that name, or a `SafetensorsError` that lists what there is. */
export function tensorInfo(header: SafetensorsHeader, name: string): TensorInfo {
  const info = header.tensors.get(name);
  if (info) return info;
  const names = [...header.tensors.keys()].slice(0, 10).map(quoted).join(", ");
  throw new SafetensorsError(`There is no tensor ${quoted(name)}; there are: ${names || "none"}.`);
}

/** The tensor's elements from `start` on, at most `count`, converted to float32. F32, F16 and BF16 only. */
export async function readFloats(
  source: ByteSource,
  info: TensorInfo,
  start = 0,
  count = info.bytes / dtypeBytes[info.dtype],
): Promise<Float32Array<ArrayBuffer>> {
  const convert = floatReader(info);
  checkSize(info, 4 * count);
  return convert(await readElements(source, info, start, count));
}

function floatReader({ name, dtype }: TensorInfo): (bytes: Uint8Array) => Float32Array<ArrayBuffer> {
  if (dtype === "F32") return float32FromF32;
  if (dtype === "F16") return float32FromF16;
  if (dtype === "BF16") return float32FromBf16;
  throw new SafetensorsError(
    `Tensor ${quoted(name)} is ${dtype}; only F32, F16 and BF16 can be read as numbers.`,
  );
}

function checkSize({ name }: TensorInfo, bytes: number): void {
  if (bytes <= maxTensorBytes) return;
  throw new SafetensorsError(
    `Tensor ${quoted(name)} takes ${bytes} bytes in memory; ${maxTensorBytes} is the most that is read at once.`,
  );
}

/** All of a U32 tensor. */
export async function readWords(source: ByteSource, info: TensorInfo): Promise<Uint32Array<ArrayBuffer>> {
  if (info.dtype !== "U32") {
    throw new SafetensorsError(`Tensor ${quoted(info.name)} is ${info.dtype}, not U32.`);
  }
  checkSize(info, info.bytes);
  const bytes = await readElements(source, info, 0, info.bytes / 4);
  const words = new Uint32Array(info.bytes / 4);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}

/** Bytes of `count` elements from `start` on, as they are stored. */
export function readElements(
  source: ByteSource,
  info: TensorInfo,
  start: number,
  count: number,
): Promise<Uint8Array> {
  const width = dtypeBytes[info.dtype];
  if (start < 0 || count < 0 || (start + count) * width > info.bytes) {
    throw new RangeError(`Elements ${start} to ${start + count} are not all in tensor ${quoted(info.name)}.`);
  }
  return source.read(info.offset + start * width, count * width);
}

/** A tensor to write; F32 or U32 by its data. */
export interface NamedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array | Uint32Array;
}

/**
 * A safetensors file in pieces to be written one after the other: the header, then the tensors' own memory (not copied),
 * in the order given. Equal input gives equal bytes.
 */
export function safetensorsPieces(
  tensors: readonly NamedTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array[] {
  for (const { name, shape, data } of tensors) {
    if (elements(shape) !== data.length) {
      throw new SafetensorsError(
        `Tensor ${quoted(name)} of shape [${shape.join(", ")}] has ${data.length} elements.`,
      );
    }
  }
  const described = tensors.map(({ name, shape, data }) => ({
    name,
    shape,
    dtype: data instanceof Float32Array ? ("F32" as const) : ("U32" as const),
  }));
  return [
    safetensorsHeader(described, metadata),
    ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ];
}

/**
 * What stands before the tensors' bytes, which follow in this order without gaps, padded with spaces to a multiple of 8;
 * for tensors that are written as they are made.
 */
export function safetensorsHeader(
  tensors: readonly { name: string; shape: readonly number[]; dtype: Dtype }[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const names = new Set<string>(["__metadata__"]);
  const entries: string[] = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let end = 0;
  for (const { name, shape, dtype } of tensors) {
    if (names.has(name)) throw new SafetensorsError(`Tensor ${quoted(name)} cannot be written twice.`);
    names.add(name);
    const begin = end;
    end += elements(shape) * dtypeBytes[dtype];
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const padded = 8 * Math.ceil(json.length / 8);
  const header = new Uint8Array(8 + padded).fill(0x20, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
