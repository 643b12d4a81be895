/*
 * Python's pickle, as far as data goes and no further. A pickle is a program: it can name any function of any module and
 * call it. This machine knows the instructions that build lists, dictionaries, numbers and texts, and hands every name
 * to its host, which allows the handful that rebuild tensors; everything else ends in a `PickleError` that says what was
 * asked for. Nothing recurses, and no length is believed beyond the bytes there are.
 */

/** What a pickle does that it may not; `global` is the module.attribute it names, where that is the reason. */
export class PickleError extends Error {
  override readonly name = "PickleError";
  readonly global: string | null;
  constructor(message: string, global: string | null = null) {
    super(message);
    this.global = global;
  }
}

export class PickleTuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** An allowed module.attribute. */
export class PickleGlobal {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
}

/** What the host makes of a call or a persistent id; opaque here. */
export abstract class HostValue {
  abstract readonly kind: string;
}

/** Text of pickle's oldest protocols, in Python's notation and not interpreted; nothing takes it. */
class RawText extends HostValue {
  readonly kind = "text in an outdated notation";
}

export type PickleDict = Map<PickleValue, PickleValue>;
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | PickleDict
  | PickleGlobal
  | HostValue;

export interface PickleHost {
  /** The only names that may occur, as module.attribute. */
  readonly globals: ReadonlySet<string>;
  /** Throws `PickleError` for calls it does not make. */
  call(path: string, args: readonly PickleValue[]): PickleValue;
  persistent(id: PickleValue): PickleValue;
}

/** The state dictionary of a thousand tensors takes some 60,000 instructions. */
const maxInstructions = 1_000_000;

/** Runs a pickle. Throws `PickleError`. */
export function unpickle(bytes: Uint8Array, host: PickleHost): PickleValue {
  return new Unpickler(bytes, host).run();
}

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #host: PickleHost;
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack at the open marks. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor(bytes: Uint8Array, host: PickleHost) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#host = host;
  }

  run(): PickleValue {
    for (let count = 0; count < maxInstructions; count++) {
      const code = this.#view.getUint8(this.#advance(1));
      if (code === 0x2e) return this.pop();
      this.#step(code);
    }
    throw new PickleError(`It takes more than ${maxInstructions} instructions.`);
  }

  #step(code: number): void {
    const instruction = instructions[code];
    if (instruction === undefined) {
      throw new PickleError(`Byte ${this.#at - 1} (0x${code.toString(16)}) is not an instruction of pickle.`);
    }
    instruction(this);
  }

  /** Start of the next `count` bytes, which are there. */
  #advance(count: number): number {
    const start = this.#at;
    if (!(count <= this.#bytes.length - start)) {
      throw new PickleError(`It ends at byte ${this.#bytes.length}, within an instruction.`);
    }
    this.#at += count;
    return start;
  }

  take(count: number): Uint8Array {
    const start = this.#advance(count);
    return this.#bytes.subarray(start, start + count);
  }

  uint(width: 1 | 2 | 4 | 8): number {
    const at = this.#advance(width);
    if (width === 1) return this.#view.getUint8(at);
    if (width === 2) return this.#view.getUint16(at, true);
    return width === 4 ? this.#view.getUint32(at, true) : Number(this.#view.getBigUint64(at, true));
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  text(count: number): string {
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(this.take(count));
    } catch (error) {
      if (error instanceof PickleError) throw error;
      throw new PickleError(`The text before byte ${this.#at} is not UTF-8.`);
    }
  }

  /** A line, without its end. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw new PickleError(`It ends at byte ${this.#bytes.length}, within an instruction.`);
    const line = this.take(end - this.#at);
    this.take(1);
    return new TextDecoder("latin1").decode(line);
  }

  /** Two's complement of up to 8 bytes. */
  longInteger(count: number): number {
    const bytes = this.take(count);
    if (count > 8) throw new PickleError(`It holds a whole number of ${count} bytes.`);
    const value = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return wholeNumber(Number(BigInt.asIntN(8 * count, value)));
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  pop(): PickleValue {
    const floor = this.#marks.at(-1) ?? 0;
    if (this.#stack.length <= floor) {
      throw new PickleError(`An instruction before byte ${this.#at} takes a value that is not there.`);
    }
    return this.#stack.pop() as PickleValue;
  }

  top(): PickleValue {
    const value = this.pop();
    this.#stack.push(value);
    return value;
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  popToMark(): PickleValue[] {
    const height = this.#marks.pop();
    if (height === undefined) {
      throw new PickleError(`An instruction before byte ${this.#at} needs a mark that is not there.`);
    }
    return this.#stack.splice(height);
  }

  remember(index: number): void {
    this.#memo.set(index, this.top());
  }

  memoize(): void {
    this.remember(this.#memo.size);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleError(`It recalls value ${index}, which it never kept.`);
    this.push(value);
  }

  append(values: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new PickleError(`It appends to ${pickleKind(list)}.`);
    for (const value of values) list.push(value);
  }

  set(pairs: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw new PickleError(`It sets keys of ${pickleKind(dict)}.`);
    if (pairs.length % 2 !== 0) throw new PickleError("It sets a key without a value.");
    for (let at = 0; at < pairs.length; at += 2) dict.set(pairs[at]!, pairs[at + 1]!);
  }

  name(module: PickleValue, attribute: PickleValue): PickleGlobal {
    if (typeof module !== "string" || typeof attribute !== "string") {
      throw new PickleError(`It names an object by ${pickleKind(module)} and ${pickleKind(attribute)}.`);
    }
    const path = `${module}.${attribute}`.slice(0, 200);
    if (!this.#host.globals.has(path)) throw new PickleError(`It names ${path}.`, path);
    return new PickleGlobal(path);
  }

  call(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || !(args instanceof PickleTuple)) {
      throw new PickleError(`It calls ${pickleKind(callee)} with ${pickleKind(args)}.`);
    }
    this.push(this.#host.call(callee.path, args.items));
  }

  /** Making objects is no part of rebuilding tensors, not even of the classes that may be named. */
  refuseObject(how: string, of: PickleValue): never {
    throw new PickleError(`It makes an object of ${pickleKind(of)} (${how}).`);
  }

  persistent(): void {
    this.push(this.#host.persistent(this.pop()));
  }

  /** Attributes of an OrderedDict are torch's version notes, and nothing here looks at them. */
  build(): void {
    const state = this.pop();
    const object = this.top();
    if (!(object instanceof Map) || !(state instanceof Map)) {
      throw new PickleError(`It sets the state of ${pickleKind(object)}.`);
    }
  }
}

function wholeNumber(value: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw new PickleError(`It holds the number ${value}, which is out of range.`);
}

function lineNumber(line: string): number {
  return wholeNumber(/^-?\d{1,16}L?$/.test(line) ? Number.parseInt(line, 10) : Number.NaN);
}

/** What a value is, for messages. */
export function pickleKind(value: PickleValue): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return "a truth value";
  if (typeof value === "number") return "a number";
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 60))}`;
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof PickleTuple) return "a tuple";
  if (value instanceof Map) return "a dictionary";
  if (value instanceof PickleGlobal) return value.path;
  return Array.isArray(value) ? "a list" : value.kind;
}

type Instruction = (machine: Unpickler) => void;

function refused(name: string): Instruction {
  return () => {
    throw new PickleError(`It uses ${name}, which no state dictionary needs.`);
  };
}

const tuple =
  (count: number): Instruction =>
  (m) => {
    const items: PickleValue[] = [];
    for (let left = count; left > 0; left--) items.unshift(m.pop());
    m.push(new PickleTuple(items));
  };

/** By code; names and meanings as in Python's pickletools. */
const instructions: readonly (Instruction | undefined)[] = Object.assign(new Array<undefined>(256), {
  128: (m: Unpickler) => {
    const version = m.uint(1);
    if (version > 5) throw new PickleError(`It is in version ${version} of pickle's protocol.`);
  },
  149: (m: Unpickler) => {
    const length = m.uint(8);
    if (length > 2 ** 32) throw new PickleError(`It has a frame of ${length} bytes.`);
  },
  // Values.
  78: (m: Unpickler) => m.push(null),
  136: (m: Unpickler) => m.push(true),
  137: (m: Unpickler) => m.push(false),
  74: (m: Unpickler) => m.push(m.int32()),
  75: (m: Unpickler) => m.push(m.uint(1)),
  77: (m: Unpickler) => m.push(m.uint(2)),
  138: (m: Unpickler) => m.push(m.longInteger(m.uint(1))),
  139: (m: Unpickler) => m.push(m.longInteger(m.uint(4))),
  71: (m: Unpickler) => m.push(m.float64()),
  88: (m: Unpickler) => m.push(m.text(m.uint(4))),
  140: (m: Unpickler) => m.push(m.text(m.uint(1))),
  141: (m: Unpickler) => m.push(m.text(m.uint(8))),
  84: (m: Unpickler) => m.push(m.text(m.uint(4))),
  85: (m: Unpickler) => m.push(m.text(m.uint(1))),
  66: (m: Unpickler) => m.push(m.take(m.uint(4))),
  67: (m: Unpickler) => m.push(m.take(m.uint(1))),
  142: (m: Unpickler) => m.push(m.take(m.uint(8))),
  // Values in lines of text: protocol 0.
  73: (m: Unpickler) => {
    const line = m.line();
    m.push(line === "00" || line === "01" ? line === "01" : lineNumber(line));
  },
  76: (m: Unpickler) => m.push(lineNumber(m.line())),
  70: (m: Unpickler) => m.push(Number(m.line())),
  83: (m: Unpickler) => {
    m.line();
    m.push(new RawText());
  },
  86: (m: Unpickler) => {
    m.line();
    m.push(new RawText());
  },
  // Containers.
  40: (m: Unpickler) => m.mark(),
  41: (m: Unpickler) => m.push(new PickleTuple([])),
  133: tuple(1),
  134: tuple(2),
  135: tuple(3),
  116: (m: Unpickler) => m.push(new PickleTuple(m.popToMark())),
  93: (m: Unpickler) => m.push([]),
  108: (m: Unpickler) => m.push(m.popToMark()),
  97: (m: Unpickler) => m.append([m.pop()]),
  101: (m: Unpickler) => m.append(m.popToMark()),
  125: (m: Unpickler) => m.push(new Map()),
  100: (m: Unpickler) => {
    const pairs = m.popToMark();
    m.push(new Map());
    m.set(pairs);
  },
  115: (m: Unpickler) => {
    const value = m.pop();
    m.set([m.pop(), value]);
  },
  117: (m: Unpickler) => m.set(m.popToMark()),
  // The stack and the memo.
  48: (m: Unpickler) => void m.pop(),
  49: (m: Unpickler) => void m.popToMark(),
  50: (m: Unpickler) => m.push(m.top()),
  113: (m: Unpickler) => m.remember(m.uint(1)),
  114: (m: Unpickler) => m.remember(m.uint(4)),
  112: (m: Unpickler) => m.remember(lineNumber(m.line())),
  148: (m: Unpickler) => m.memoize(),
  104: (m: Unpickler) => m.recall(m.uint(1)),
  106: (m: Unpickler) => m.recall(m.uint(4)),
  103: (m: Unpickler) => m.recall(lineNumber(m.line())),
  // Names, calls, objects.
  99: (m: Unpickler) => m.push(m.name(m.line(), m.line())),
  147: (m: Unpickler) => {
    const attribute = m.pop();
    m.push(m.name(m.pop(), attribute));
  },
  82: (m: Unpickler) => m.call(),
  81: (m: Unpickler) => m.persistent(),
  98: (m: Unpickler) => m.build(),
  105: (m: Unpickler) => m.refuseObject("INST", m.name(m.line(), m.line())),
  111: (m: Unpickler) => m.refuseObject("OBJ", m.popToMark()[0] ?? null),
  129: (m: Unpickler) => {
    m.pop();
    m.refuseObject("NEWOBJ", m.pop());
  },
  146: (m: Unpickler) => {
    m.pop();
    m.pop();
    m.refuseObject("NEWOBJ_EX", m.pop());
  },
  80: refused("a persistent id in text (PERSID)"),
  130: (m: Unpickler) => refused(`the extension registry, code ${m.uint(1)} (EXT1)`)(m),
  131: (m: Unpickler) => refused(`the extension registry, code ${m.uint(2)} (EXT2)`)(m),
  132: (m: Unpickler) => refused(`the extension registry, code ${m.uint(4)} (EXT4)`)(m),
  143: refused("a set (EMPTY_SET)"),
  144: refused("a set (ADDITEMS)"),
  145: refused("a set (FROZENSET)"),
  150: refused("a byte array (BYTEARRAY8)"),
  151: refused("a buffer outside the file (NEXT_BUFFER)"),
  152: refused("a buffer outside the file (READONLY_BUFFER)"),
});
