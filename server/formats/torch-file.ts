import {
  HostValue,
  PickleError,
  PickleGlobal,
  type PickleHost,
  PickleTuple,
  type PickleValue,
  pickleKind,
  unpickle,
} from "./pickle.ts";
import { openRegularFile } from "./regular-file.ts";
import { asFormatError, SaeFormatError, UnsafePickleError } from "./sae-format-error.ts";
import type { StoredTensor, TensorFile } from "./tensor-file.ts";
import { openZip, type ZipArchive } from "./zip.ts";

/*
 * What torch.save writes since 1.6: a zip with `<name>/data.pkl`, a pickle in which each tensor is a call of
 * _rebuild_tensor_v2 on a storage, and `<name>/data/<key>`, the storages' bytes. Read without torch, and without running
 * anything: the pickle may name the few things below and nothing else.
 */

/** A state dictionary: its tensors, and what else is in it. */
export interface TorchFile extends TensorFile {
  /** Entries that are not tensors, e.g. OpenAI's `activation`. */
  readonly values: ReadonlyMap<string, PickleValue>;
}

/** Element types by torch's storage classes, as safetensors names them. */
const storageTypes: ReadonlyMap<string, { dtype: string; bytes: number }> = new Map([
  ["FloatStorage", { dtype: "F32", bytes: 4 }],
  ["DoubleStorage", { dtype: "F64", bytes: 8 }],
  ["HalfStorage", { dtype: "F16", bytes: 2 }],
  ["BFloat16Storage", { dtype: "BF16", bytes: 2 }],
  ["LongStorage", { dtype: "I64", bytes: 8 }],
  ["IntStorage", { dtype: "I32", bytes: 4 }],
  ["ShortStorage", { dtype: "I16", bytes: 2 }],
  ["CharStorage", { dtype: "I8", bytes: 1 }],
  ["ByteStorage", { dtype: "U8", bytes: 1 }],
  ["BoolStorage", { dtype: "BOOL", bytes: 1 }],
]);

const globals: ReadonlySet<string> = new Set([
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  ...[...storageTypes.keys()].flatMap((name) => [`torch.${name}`, `torch.storage.${name}`]),
]);

/** Names and shapes of a thousand tensors take some hundred kilobytes. */
const maxPickleBytes = 4 * 2 ** 20;

class Storage extends HostValue {
  readonly kind = "a storage";
  readonly key: string;
  readonly dtype: string;
  readonly elementBytes: number;
  readonly elements: number;
  constructor(key: string, type: { dtype: string; bytes: number }, elements: number) {
    super();
    this.key = key;
    this.dtype = type.dtype;
    this.elementBytes = type.bytes;
    this.elements = elements;
  }
}

/** Elements storage[offset + Σ index · stride]. */
class Tensor extends HostValue {
  readonly kind = "a tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  constructor(storage: Storage, offset: number, shape: readonly number[], stride: readonly number[]) {
    super();
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

/** Opens a .pt file and reads its pickle, not its tensors. Throws `SaeFormatError`. */
export async function openTorchFile(file: string): Promise<TorchFile> {
  await checkZip(file);
  const zip = await openZip(file);
  try {
    return await readStateDict(zip);
  } catch (error) {
    await zip.close();
    if (!(error instanceof PickleError)) throw error;
    if (error.global !== null) throw new UnsafePickleError(file, error.global, error);
    throw new SaeFormatError(
      `${file} is not a plain state dictionary of tensors. ${error.message} Save the SAE's state_dict() with torch.save.`,
      error,
    );
  }
}

async function checkZip(file: string): Promise<void> {
  try {
    const source = await openRegularFile(file);
    try {
      const magic = await source.read(0, Math.min(2, source.size));
      if (magic[0] === 0x50 && magic[1] === 0x4b) return;
    } finally {
      await source.close();
    }
  } catch (error) {
    throw asFormatError(file, error);
  }
  throw new SaeFormatError(
    `${file} is not a file of torch 1.6 or later, which is a zip archive. Open it with torch and save it again.`,
  );
}

async function readStateDict(zip: ZipArchive): Promise<TorchFile> {
  const { file, entries } = zip;
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw new SaeFormatError(
      `${file} is a zip archive with ${pickles.length} pickles named data.pkl, but torch.save writes one. Save it again with torch.`,
    );
  }
  if (pickle.bytes > maxPickleBytes) {
    throw new SaeFormatError(
      `${file}: the pickle has ${pickle.bytes} bytes; ${maxPickleBytes} is the most that is read. Save the state_dict of tensors alone.`,
    );
  }
  const root = pickle.name.slice(0, -"data.pkl".length);
  const byteOrder = entries.get(`${root}byteorder`);
  if (byteOrder !== undefined && new TextDecoder().decode(await byteOrder.readStart(8)) !== "little") {
    throw new SaeFormatError(
      `${file} was written on a big-endian machine. Save it again on a little-endian one.`,
    );
  }
  const state = unpickle(await pickle.read(), host);
  if (!(state instanceof Map)) throw new PickleError(`It holds ${pickleKind(state)}.`);
  const tensors = new Map<string, StoredTensor>();
  const values = new Map<string, PickleValue>();
  for (const [name, value] of state) {
    if (typeof name !== "string") throw new PickleError(`It has ${pickleKind(name)} for a key.`);
    if (value instanceof Tensor) tensors.set(name, storedTensor(zip, `${root}data/`, name, value));
    else values.set(name, value);
  }
  return { file, tensors, values, close: () => zip.close() };
}

const host: PickleHost = {
  globals,
  persistent(id) {
    const [tag, type, key, , elements] = id instanceof PickleTuple ? id.items : [];
    const storage =
      type instanceof PickleGlobal ? storageTypes.get(type.path.split(".").at(-1) ?? "") : undefined;
    if (tag !== "storage" || storage === undefined || typeof key !== "string" || !isCount(elements)) {
      throw new PickleError("It refers to something that is not one of torch's storages.");
    }
    return new Storage(key, storage, elements);
  },
  call(path, args) {
    switch (path) {
      case "collections.OrderedDict":
        if (args.length === 0) return new Map();
        throw new PickleError("It makes an OrderedDict of something given, which torch does not.");
      case "torch._utils._rebuild_tensor_v2":
        return rebuildTensor(args);
      case "torch._utils._rebuild_parameter":
        if (args[0] instanceof Tensor) return args[0];
        throw new PickleError("It rebuilds a parameter of something that is not a tensor.");
      default:
        throw new PickleError(`It calls ${path}.`);
    }
  },
};

function rebuildTensor([storage, offset, size, stride]: readonly PickleValue[]): Tensor {
  const shape = counts(size);
  const steps = counts(stride);
  if (!(storage instanceof Storage) || !isCount(offset) || shape === null || steps?.length !== shape.length) {
    throw new PickleError(
      "It rebuilds a tensor from something that is not a storage, an offset, sizes and strides.",
    );
  }
  const elements = shape.reduce((product, extent) => product * extent, 1);
  const last = shape.reduce((at, extent, axis) => at + (extent - 1) * steps[axis]!, offset);
  // A tensor larger than its storage repeats elements; a few bytes could ask for any amount of memory so.
  if (elements > storage.elements || (elements > 0 && last >= storage.elements)) {
    throw new PickleError(
      `It rebuilds a tensor [${shape.join(", ")}] of a storage that has ${storage.elements} elements.`,
    );
  }
  return new Tensor(storage, offset, shape, steps);
}

function isCount(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A tuple of at most 8 sizes, or null. */
function counts(value: PickleValue | undefined): number[] | null {
  if (!(value instanceof PickleTuple) || value.items.length > 8) return null;
  return value.items.every(isCount) ? (value.items as number[]) : null;
}

function storedTensor(zip: ZipArchive, folder: string, name: string, tensor: Tensor): StoredTensor {
  const { storage, shape } = tensor;
  const entry = zip.entries.get(folder + storage.key);
  if (entry === undefined || entry.bytes !== storage.elements * storage.elementBytes) {
    const there = entry === undefined ? "it is not there" : `it has ${entry.bytes} bytes`;
    throw new SaeFormatError(
      `${zip.file}: ${name} is kept in ${folder}${storage.key}, which should have ${storage.elements * storage.elementBytes} bytes, but ${there}. Copy or download the file again.`,
    );
  }
  return { name, dtype: storage.dtype, shape, bytes: async () => contiguous(await entry.read(), tensor) };
}

/** The tensor's elements in row-major order. */
function contiguous(bytes: Uint8Array, { storage, offset, shape, stride }: Tensor): Uint8Array {
  const width = storage.elementBytes;
  const elements = shape.reduce((product, extent) => product * extent, 1);
  const expected = shape.map((_, axis) =>
    shape.slice(axis + 1).reduce((product, extent) => product * extent, 1),
  );
  if (shape.every((extent, axis) => extent <= 1 || stride[axis] === expected[axis])) {
    return bytes.subarray(offset * width, (offset + elements) * width);
  }
  const result = new Uint8Array(elements * width);
  const index = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let to = 0; to < elements; to++) {
    for (let byte = 0; byte < width; byte++) result[to * width + byte] = bytes[from * width + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= shape[axis]! * stride[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}
