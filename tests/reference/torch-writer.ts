import { type ZipPart, zip } from "./zip-writer.ts";

/*
 * Files as torch.save writes them, instruction by instruction as Python's pickler does at protocol 2.
 */

export interface TorchTensor {
  shape: number[];
  values: number[];
  /** Default float32. */
  type?: keyof typeof storages;
  /** Of the storage; default contiguous from 0. With it, `values` are the storage's. */
  stride?: number[];
  offset?: number;
}

const storages = {
  float32: {
    name: "FloatStorage",
    bytes: 4,
    write: (b: DataView, at: number, v: number) => b.setFloat32(at, v, true),
  },
  float64: {
    name: "DoubleStorage",
    bytes: 8,
    write: (b: DataView, at: number, v: number) => b.setFloat64(at, v, true),
  },
  bfloat16: {
    name: "BFloat16Storage",
    bytes: 2,
    write: (b: DataView, at: number, v: number) => {
      const bits = new DataView(new ArrayBuffer(4));
      bits.setFloat32(0, v);
      b.setUint16(at, bits.getUint16(0), true);
    },
  },
  int32: {
    name: "IntStorage",
    bytes: 4,
    write: (b: DataView, at: number, v: number) => b.setInt32(at, v, true),
  },
  int64: {
    name: "LongStorage",
    bytes: 8,
    write: (b: DataView, at: number, v: number) => b.setBigInt64(at, BigInt(v), true),
  },
};

export type TorchValue = TorchTensor | number | string | { [key: string]: TorchValue };

const isTensor = (value: TorchValue): value is TorchTensor =>
  typeof value === "object" && Array.isArray(value.values);

/** Writes pickles. Everything is public, so that a test can put anything together. */
export class PickleWriter {
  readonly pieces: Buffer[] = [];
  #memo = 0;
  #dictClass: number | null = null;

  raw(...bytes: (number | string)[]): this {
    for (const piece of bytes) {
      this.pieces.push(typeof piece === "number" ? Buffer.from([piece]) : Buffer.from(piece, "latin1"));
    }
    return this;
  }

  put(): number {
    const index = this.#memo++;
    if (index < 256) this.raw("q", index);
    else {
      const wide = Buffer.alloc(4);
      wide.writeUInt32LE(index);
      this.raw("r");
      this.pieces.push(wide);
    }
    return index;
  }

  text(value: string): this {
    const bytes = Buffer.from(value, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    this.raw("X");
    this.pieces.push(length, bytes);
    this.put();
    return this;
  }

  int(value: number): this {
    const wide = Buffer.alloc(4);
    wide.writeInt32LE(value);
    if (value >= 0 && value < 256) return this.raw("K", value);
    if (value >= 0 && value < 65_536) {
      return this.raw("M", value & 255, value >> 8);
    }
    this.raw("J");
    this.pieces.push(wide);
    return this;
  }

  global(module: string, name: string): number {
    this.raw(`c${module}\n${name}\n`);
    return this.put();
  }

  tuple(items: readonly number[]): this {
    if (items.length === 0) return this.raw(")");
    if (items.length > 3) this.raw("(");
    for (const item of items) this.int(item);
    this.raw(items.length > 3 ? "t" : [0x85, 0x86, 0x87][items.length - 1]!);
    this.put();
    return this;
  }

  /** An OrderedDict, empty. */
  dict(): this {
    if (this.#dictClass === null) this.#dictClass = this.global("collections", "OrderedDict");
    else this.raw("h", this.#dictClass);
    this.raw(")R");
    this.put();
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

/** data.pkl of a state dictionary, and the storages it refers to, in order. */
export function statePickle(state: Record<string, TorchValue>): { pickle: Buffer; storages: Buffer[] } {
  const writer = new PickleWriter();
  const written: Buffer[] = [];
  writer.raw(0x80, 2).dict();
  writeItems(writer, state, written);
  // The versions of its modules, which torch keeps as an attribute of the dictionary.
  writer.raw("}");
  writer.put();
  writer.text("_metadata").dict().raw("(").text("");
  writer.raw("}");
  writer.put();
  writer.text("version").int(1).raw("su", "sb", ".");
  return { pickle: writer.bytes(), storages: written };
}

function writeItems(writer: PickleWriter, items: Record<string, TorchValue>, written: Buffer[]): void {
  writer.raw("(");
  for (const [key, value] of Object.entries(items)) {
    writer.text(key);
    if (typeof value === "number") writer.int(value);
    else if (typeof value === "string") writer.text(value);
    else if (isTensor(value)) writeTensor(writer, value, written);
    else {
      writer.dict();
      writeItems(writer, value, written);
    }
  }
  writer.raw("u");
}

function writeTensor(writer: PickleWriter, tensor: TorchTensor, written: Buffer[]): void {
  const { shape, values, type = "float32", offset = 0 } = tensor;
  const storage = storages[type];
  const bytes = new DataView(new ArrayBuffer(values.length * storage.bytes));
  for (const [at, value] of values.entries()) storage.write(bytes, at * storage.bytes, value);
  const contiguous = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  writer.global("torch._utils", "_rebuild_tensor_v2");
  writer.raw("((").text("storage");
  writer.global("torch", storage.name);
  writer.text(String(written.length)).text("cpu").int(values.length).raw("t");
  writer.put();
  writer
    .raw("Q")
    .int(offset)
    .tuple(shape)
    .tuple(tensor.stride ?? contiguous)
    .raw(0x89)
    .dict()
    .raw("t");
  writer.put();
  writer.raw("R");
  writer.put();
  written.push(Buffer.from(bytes.buffer));
}

/** The archive's parts; `root` is the name torch gives its folder. */
export function torchParts(state: Record<string, TorchValue>, root = "ae"): ZipPart[] {
  const { pickle, storages: data } = statePickle(state);
  return [
    { name: `${root}/data.pkl`, data: pickle },
    { name: `${root}/byteorder`, data: Buffer.from("little") },
    ...data.map((bytes, key) => ({ name: `${root}/data/${key}`, data: bytes })),
    { name: `${root}/version`, data: Buffer.from("3\n") },
  ];
}

export function torchFile(state: Record<string, TorchValue>): Buffer {
  return zip(torchParts(state));
}
