import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ActivationSetError, importActivationSet } from "../../server/artifacts/activation-set.ts";
import { importSae } from "../../server/formats/convert.ts";
import { inspectFolder } from "../../server/formats/inspect.ts";
import { SaeFormatError, UnsafePickleError } from "../../server/formats/sae-format-error.ts";
import { npy, npyOf, npz } from "../reference/npz-writer.ts";
import { safetensorsOf, safetensorsWith } from "../reference/safetensors-writer.ts";
import { PickleWriter, type TorchTensor, torchFile, torchParts } from "../reference/torch-writer.ts";
import { type ZipPart, zip } from "../reference/zip-writer.ts";

/*
 * Files that are corrupt, cut off, mistyped or malicious. Each must end in one error of ours that says in words what is
 * wrong, within moments, with nothing run and nothing written.
 */

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-hostile-"));
  await mkdir(path.join(home, "source"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

type Files = Record<string, Uint8Array | string>;

async function place(files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files))
    await writeFile(path.join(home, "source", name), content);
}

async function refusal(target = "."): Promise<SaeFormatError> {
  const source = path.join(home, "source", target);
  let thrown: unknown;
  try {
    await importSae(source, path.join(home, "saes", "imported"));
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(SaeFormatError);
  const error = thrown as SaeFormatError;
  // Words for a person: whole sentences, no dump of the file, no name of an internal type.
  expect(error.message).toMatch(/^\S[\s\S]{15,1400}[.]$/);
  expect(error.message).not.toMatch(/undefined|\[object|NaN bytes|TypeError/);
  expect(error.code).toBe("invalid");
  expect(await readdir(home)).toEqual(["source"]);
  // Looking at it does not fare worse than importing it.
  await inspectFolder(source).catch((other: unknown) => expect(other).toBeInstanceOf(SaeFormatError));
  return error;
}

/** Runs every case under its own name. */
function refused(cases: Record<string, [files: () => Files, message: RegExp, target?: string]>): void {
  for (const [name, [files, message, target]] of Object.entries(cases)) {
    it(name, async () => {
      await place(files());
      expect((await refusal(target)).message).toMatch(message);
    });
  }
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString("latin1");
};
const u64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.toString("latin1");
};
const count = (length: number) => Array.from({ length }, (_, i) => i + 1);
const tensor = (shape: number[], given: Partial<TorchTensor> = {}): TorchTensor => ({
  shape,
  values: count(shape.reduce((a, b) => a * b, 1)),
  ...given,
});

const autoEncoder = (): Record<string, TorchTensor> => ({
  bias: tensor([3]),
  "encoder.weight": tensor([4, 3]),
  "encoder.bias": tensor([4]),
  "decoder.weight": tensor([3, 4]),
});

it("the files that the cases spoil are good", async () => {
  await place({ "ae.pt": torchFile(autoEncoder()) });
  await importSae(path.join(home, "source"), path.join(home, "a"));
  await rm(path.join(home, "source", "ae.pt"));
  await place({ "params.npz": npz(gemmaArrays()) });
  await importSae(path.join(home, "source"), path.join(home, "b"));
  await rm(path.join(home, "source", "params.npz"));
  await place(saelens({}));
  await importSae(path.join(home, "source"), path.join(home, "c"));
});

/** ae.pt with this pickle in place of its own. */
const pickled = (pickle: Uint8Array): Uint8Array =>
  zip(
    torchParts(autoEncoder()).map((part) => (part.name === "ae/data.pkl" ? { ...part, data: pickle } : part)),
  );
const pickle = (...bytes: (number | string)[]) => pickled(new PickleWriter().raw(...bytes).bytes());

describe("pickles that name code, in every way a pickle can", () => {
  const text = (value: string) => `X${u32(value.length)}${value}`;
  const short = (value: string) => `\x8c${String.fromCharCode(value.length)}${value}`;
  const forms: Record<string, (module: string, name: string) => string> = {
    "GLOBAL and REDUCE": (m, a) => `\x80\x02c${m}\n${a}\n${text("id")}\x85R.`,
    "GLOBAL, only named, among good entries": (m, a) => `\x80\x02}(${text("bias")}c${m}\n${a}\nu.`,
    "GLOBAL for a key": (m, a) => `\x80\x02}c${m}\n${a}\nNs.`,
    STACK_GLOBAL: (m, a) => `\x80\x04\x95${u64(40n)}${short(m)}${short(a)}\x93${short("id")}\x85R.`,
    "STACK_GLOBAL from the memo": (m, a) => `\x80\x04${short(m)}\x94${short(a)}\x9400h\x00h\x01\x93)R.`,
    "STACK_GLOBAL of long texts": (m, a) =>
      `\x80\x04\x8d${u64(BigInt(m.length))}${m}\x8d${u64(BigInt(a.length))}${a}\x93)R.`,
    INST: (m, a) => `\x80\x02(${text("id")}i${m}\n${a}\n.`,
    OBJ: (m, a) => `\x80\x02(c${m}\n${a}\n${text("id")}o.`,
    NEWOBJ: (m, a) => `\x80\x02c${m}\n${a}\n)\x81.`,
    NEWOBJ_EX: (m, a) => `\x80\x04c${m}\n${a}\n)}\x92.`,
    BUILD: (m, a) => `\x80\x02c${m}\n${a}\n}b.`,
    "protocol 0": (m, a) => `c${m}\n${a}\np0\n(S'id'\np1\ntp2\nRp3\n.`,
    "a storage's class": (m, a) =>
      `\x80\x02(${text("storage")}c${m}\n${a}\n${text("0")}${text("cpu")}K\x01tQ.`,
    "the result of a harmless start": (m, a) =>
      `\x80\x02ccollections\nOrderedDict\n)Rc${m}\n${a}\n${text("id")}\x85R.`,
  };
  const names = [
    "os.system",
    "posix.system",
    "builtins.eval",
    "__builtin__.exec",
    "subprocess.Popen",
    "torch.storage._load_from_bytes",
    "torch.load",
    "numpy.core.multiarray._reconstruct",
    "runpy._run_code",
    "collections.OrderedDict.__init__",
    "builtins.getattr",
    "constructor.prototype",
  ];
  const cases = names.flatMap((name) => Object.keys(forms).map((form) => [name, form] as const));
  it.each(cases)("%s by %s", async (name, form) => {
    const dot = name.indexOf(".");
    const program = forms[form]!(name.slice(0, dot), name.slice(dot + 1));
    await place({ "ae.pt": pickled(Buffer.from(program, "latin1")) });
    const error = await refusal();
    expect(error).toBeInstanceOf(UnsafePickleError);
    expect((error as UnsafePickleError).global).toBe(name);
    expect(error.message).toContain(`names ${name}, which is not needed to rebuild tensors and may run code`);
  });
});

describe("pickles that misuse what may be named", () => {
  refused({
    "a storage class called": [
      () => ({ "ae.pt": pickle("\x80\x02ctorch\nFloatStorage\nK\x01\x85R.") }),
      /calls torch\.FloatStorage/,
    ],
    "an OrderedDict made of something": [
      () => ({ "ae.pt": pickle("\x80\x02ccollections\nOrderedDict\n]\x85R.") }),
      /OrderedDict of something given/,
    ],
    "an object of a class that may be named": [
      () => ({ "ae.pt": pickle("\x80\x02ccollections\nOrderedDict\n)\x81.") }),
      /makes an object of collections\.OrderedDict \(NEWOBJ\)/,
    ],
    "a call of something that is no function": [
      () => ({ "ae.pt": pickle("\x80\x02K\x01)R.") }),
      /calls a number with a tuple/,
    ],
    "a call without a tuple": [
      () => ({ "ae.pt": pickle("\x80\x02ccollections\nOrderedDict\n]R.") }),
      /calls collections\.OrderedDict with a list/,
    ],
    "a state for a class": [
      () => ({ "ae.pt": pickle("\x80\x02ctorch\nFloatStorage\n}b.") }),
      /state of torch\.FloatStorage/,
    ],
    "a state that is no dictionary": [
      () => ({ "ae.pt": pickle("\x80\x02}]b.") }),
      /sets the state of a dictionary/,
    ],
    "a tensor made of nothing": [
      () => ({ "ae.pt": pickle("\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.") }),
      /not a storage, an offset, sizes and strides/,
    ],
    "a parameter made of a number": [
      () => ({ "ae.pt": pickle("\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.") }),
      /parameter of something that is not a tensor/,
    ],
    "a persistent id that is a number": [
      () => ({ "ae.pt": pickle("\x80\x02K\x01Q.") }),
      /not one of torch's storages/,
    ],
    "a persistent id that is not a storage": [
      () => ({ "ae.pt": pickle(`\x80\x02(X${u32(6)}moduleNNNNtQ.`) }),
      /not one of torch's storages/,
    ],
    "an extension code, EXT1": [
      () => ({ "ae.pt": pickle("\x80\x02\x82\x05.") }),
      /extension registry, code 5 \(EXT1\)/,
    ],
    "an extension code, EXT2": [() => ({ "ae.pt": pickle("\x80\x02\x83\x05\x01.") }), /code 261 \(EXT2\)/],
    "an extension code, EXT4": [
      () => ({ "ae.pt": pickle(`\x80\x02\x84${u32(70_000)}.`) }),
      /code 70000 \(EXT4\)/,
    ],
    "a persistent id in text": [() => ({ "ae.pt": pickle("P0\n.") }), /PERSID/],
    "a buffer outside the file": [() => ({ "ae.pt": pickle("\x80\x05\x97.") }), /NEXT_BUFFER/],
    "a byte array": [() => ({ "ae.pt": pickle(`\x80\x05\x96${u64(2n ** 60n)}.`) }), /BYTEARRAY8/],
    "a set": [() => ({ "ae.pt": pickle("\x80\x04\x8f.") }), /EMPTY_SET/],
    "a frozen set": [() => ({ "ae.pt": pickle("\x80\x04(\x91.") }), /FROZENSET/],
  });
});

describe("pickles that are no programs", () => {
  refused({
    nothing: [() => ({ "ae.pt": pickle() }), /ends at byte 0/],
    "only an end": [() => ({ "ae.pt": pickle(".") }), /takes a value that is not there/],
    "no end": [() => ({ "ae.pt": pickle("\x80\x02}") }), /ends at byte 3/],
    "an instruction that does not exist": [
      () => ({ "ae.pt": pickle("\x80\x02\xff.") }),
      /0xff\) is not an instruction/,
    ],
    zeros: [() => ({ "ae.pt": pickled(new Uint8Array(100)) }), /0x0\) is not an instruction/],
    "a protocol from the future": [() => ({ "ae.pt": pickle("\x80\x09}.") }), /version 9/],
    "a value below the mark": [
      () => ({ "ae.pt": pickle("\x80\x02]](a.") }),
      /takes a value that is not there/,
    ],
    "no mark": [() => ({ "ae.pt": pickle("\x80\x02]]t.") }), /needs a mark/],
    "a list appended to a number": [() => ({ "ae.pt": pickle("\x80\x02K\x01Na.") }), /appends to a number/],
    "keys set in a list": [() => ({ "ae.pt": pickle("\x80\x02]NNs.") }), /sets keys of a list/],
    "a key without a value": [() => ({ "ae.pt": pickle("\x80\x02}(Nu.") }), /key without a value/],
    "a memory that was never kept": [() => ({ "ae.pt": pickle("\x80\x02h\x07.") }), /recalls value 7/],
    "a memory far away": [
      () => ({ "ae.pt": pickle(`\x80\x02j${u32(4_000_000_000)}.`) }),
      /recalls value 4000000000/,
    ],
    "a list that holds itself": [() => ({ "ae.pt": pickle("\x80\x02]q\x00h\x00a.") }), /holds a list/],
    "a dictionary that holds itself": [
      () => ({ "ae.pt": pickle(`\x80\x02}q\x00X${u32(4)}selfh\x00s.`) }),
      /not an SAE of dictionary_learning or OpenAI: it holds self/,
    ],
    "lists in lists, each twice, eighty levels deep": [
      () => ({
        "ae.pt": pickle("\x80\x02]", ...Array.from({ length: 80 }, () => "q\x00]h\x00ah\x00a"), "."),
      }),
      /holds a list/,
    ],
    "lists within lists, a hundred thousand deep": [
      () => ({ "ae.pt": pickle("\x80\x02", "]".repeat(100_000), "a".repeat(99_999), ".") }),
      /holds a list/,
    ],
    "two million lists": [
      () => ({ "ae.pt": pickle("\x80\x02", "]".repeat(2_000_000), ".") }),
      /more than 1000000 instructions/,
    ],
    "two million marks": [
      () => ({ "ae.pt": pickle("\x80\x02", "(".repeat(2_000_000), ".") }),
      /more than 1000000 instructions/,
    ],
    "a text of four gigabytes": [
      () => ({ "ae.pt": pickle(`\x80\x02X${u32(2 ** 32 - 1)}abc.`) }),
      /within an instruction/,
    ],
    "a text of 2^63 bytes": [
      () => ({ "ae.pt": pickle(`\x80\x04\x8d${u64(2n ** 63n)}abc.`) }),
      /within an instruction/,
    ],
    "bytes of 2^64 - 1 bytes": [
      () => ({ "ae.pt": pickle(`\x80\x04\x8e${u64(2n ** 64n - 1n)}abc.`) }),
      /within an instruction/,
    ],
    "a number of 2^31 bytes": [
      () => ({ "ae.pt": pickle(`\x80\x02\x8b${u32(2 ** 31)}.`) }),
      /within an instruction/,
    ],
    "a number of 200 bytes": [
      () => ({ "ae.pt": pickle("\x80\x02\x8a\xc8", "\x7f".repeat(200), ".") }),
      /whole number of 200 bytes/,
    ],
    "a number above 2^53": [
      () => ({ "ae.pt": pickle(`\x80\x02\x8a\x08${u64(2n ** 62n)}.`) }),
      /out of range/,
    ],
    "a number in text that is none": [() => ({ "ae.pt": pickle("I1e9\n.") }), /out of range/],
    "a line without an end": [() => ({ "ae.pt": pickle("\x80\x02cos") }), /within an instruction/],
    "a frame of 2^63 bytes": [() => ({ "ae.pt": pickle(`\x80\x04\x95${u64(2n ** 63n)}}.`) }), /frame of/],
    "a text that is not UTF-8": [() => ({ "ae.pt": pickle(`\x80\x02X${u32(2)}\xff\xfe.`) }), /not UTF-8/],
    "a global named by numbers": [
      () => ({ "ae.pt": pickle("\x80\x04K\x01K\x02\x93.") }),
      /names an object by a number/,
    ],
    "a number, not a dictionary": [() => ({ "ae.pt": pickle("\x80\x02K\x05.") }), /holds a number/],
    None: [() => ({ "ae.pt": pickle("\x80\x02N.") }), /holds None/],
    "a text": [() => ({ "ae.pt": pickle(`\x80\x02X${u32(3)}abc.`) }), /holds the text "abc"/],
    "keys that are numbers": [() => ({ "ae.pt": pickle("\x80\x02}K\x01Ns.") }), /has a number for a key/],
    "keys in an outdated notation": [
      () => ({ "ae.pt": pickle("}S'bias'\nNs.") }),
      /text in an outdated notation for a key/,
    ],
    "an empty dictionary": [() => ({ "ae.pt": pickle("\x80\x02}.") }), /it holds nothing/],
    "more bytes than names take": [
      () => ({ "ae.pt": zip([{ name: "ae/data.pkl", data: new Uint8Array(5 * 2 ** 20), deflate: true }]) }),
      /pickle has 5242880 bytes/,
    ],
  });

  const whole = torchParts(autoEncoder())[0]!.data;
  for (const part of [0.01, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.99]) {
    const length = Math.floor(part * whole.length);
    it(`a pickle cut off at byte ${length} of ${whole.length}`, async () => {
      await place({ "ae.pt": pickled(whole.subarray(0, length)) });
      await refusal();
    });
  }

  it("a pickle cut off at any byte, or with any byte changed: an error of ours, or an SAE", async () => {
    const target = path.join(home, "source", "ae.pt");
    for (let at = 0; at < whole.length; at += 7) {
      const bad = Uint8Array.from(whole);
      bad[at]! ^= 1 << (at % 8);
      for (const spoiled of [whole.subarray(0, at), bad]) {
        await writeFile(target, pickled(spoiled));
        await inspectFolder(target).catch((error: unknown) => expect(error).toBeInstanceOf(SaeFormatError));
      }
    }
  }, 60_000);
});

describe("tensors that are not in their storage", () => {
  const withWeight = (weight: TorchTensor) => () => ({
    "ae.pt": torchFile({ ...autoEncoder(), "encoder.weight": weight }),
  });
  const withStorage = (edit: (part: ZipPart) => ZipPart | null) => () => ({
    "ae.pt": zip(
      torchParts(autoEncoder()).flatMap((part) => (part.name === "ae/data/1" ? (edit(part) ?? []) : part)),
    ),
  });
  refused({
    "a storage that is not there": [
      withStorage(() => null),
      /encoder\.weight is kept in ae\/data\/1.*but it is not there/,
    ],
    "a storage that is cut off": [
      withStorage((part) => ({ ...part, data: part.data.subarray(4) })),
      /but it has 44 bytes/,
    ],
    "a storage with bytes to spare": [
      withStorage((part) => ({ ...part, data: Buffer.concat([part.data, Buffer.alloc(4)]) })),
      /but it has 52 bytes/,
    ],
    "larger than its storage": [
      withWeight({ shape: [400, 300], values: count(12) }),
      /\[400, 300\] of a storage that has 12/,
    ],
    "beyond its storage by its offset": [
      withWeight(tensor([4, 3], { offset: 1 })),
      /of a storage that has 12/,
    ],
    "beyond its storage by its strides": [
      withWeight(tensor([4, 3], { stride: [9, 1] })),
      /of a storage that has 12/,
    ],
    "one number repeated a million times": [
      withWeight({ shape: [1_000, 1_000], values: [1], stride: [0, 0] }),
      /\[1000, 1000\] of a storage that has 1/,
    ],
    "of negative size": [
      withWeight({ shape: [-4, -3], values: count(12) }),
      /not a storage, an offset, sizes and strides/,
    ],
    "of negative strides": [
      withWeight(tensor([4, 3], { stride: [-3, 1] })),
      /not a storage, an offset, sizes/,
    ],
    "at a negative offset": [withWeight(tensor([4, 3], { offset: -1 })), /not a storage, an offset, sizes/],
    "of nine dimensions": [
      withWeight({ shape: [4, 3, 1, 1, 1, 1, 1, 1, 1], values: count(12) }),
      /not a storage, an offset, sizes/,
    ],
    "with fewer strides than sizes": [
      withWeight(tensor([4, 3], { stride: [1] })),
      /not a storage, an offset, sizes/,
    ],
    "of 2^31 - 1 elements that are not there": [
      () => ({
        "ae.pt": pickle(
          `\x80\x02}X${u32(1)}aq\x00ctorch._utils\n_rebuild_tensor_v2\n((X${u32(7)}storagectorch\nFloatStorage\nX${u32(1)}0X${u32(3)}cpuJ\xff\xff\xff\x7ftQK\x00K\x01\x85K\x01\x85\x89Nt`,
          "Rs.",
        ),
      }),
      /should have 8589934588 bytes, but it has 12 bytes/,
    ],
    "in a file outside the archive": [
      () => ({
        "ae.pt": pickle(
          `\x80\x02}X${u32(1)}aq\x00ctorch._utils\n_rebuild_tensor_v2\n((X${u32(7)}storagectorch\nFloatStorage\nX${u32(16)}../../etc/passwdX${u32(3)}cpuK\x03tQK\x00K\x03\x85K\x01\x85\x89Nt`,
          "Rs.",
        ),
      }),
      /ae\/data\/\.\.\/\.\.\/etc\/passwd.*not there/,
    ],
    "whole numbers for weights": [
      withWeight(tensor([4, 3], { type: "int64" })),
      /encoder\.weight is I64 \[4, 3\]; weights are/,
    ],
    "one dimension for a matrix": [withWeight(tensor([12])), /encoder\.weight is F32 \[12\], not a matrix/],
    "no elements": [
      withWeight({ shape: [0, 3], values: [] }),
      /encoder\.weight is F32 \[0, 3\], not a matrix/,
    ],
    "of another shape than its fellows": [
      () => ({ "ae.pt": torchFile({ ...autoEncoder(), "decoder.weight": tensor([4, 3]) }) }),
      /decoder\.weight is F32 \[4, 3\] instead of \[3, 4\]/,
    ],
    NaN: [
      withWeight(tensor([4, 3], { values: [...count(11), Number.NaN] })),
      /W_enc is not finite: it holds NaN/,
    ],
    infinity: [
      withWeight(tensor([4, 3], { values: [...count(11), Number.NEGATIVE_INFINITY] })),
      /W_enc is not finite: it holds -Infinity/,
    ],
    "a double that no float32 can hold": [
      withWeight(tensor([4, 3], { type: "float64", values: [...count(11), 1e300] })),
      /W_enc is not finite/,
    ],
    "a tensor too many": [
      () => ({ "ae.pt": torchFile({ ...autoEncoder(), extra: tensor([2]) }) }),
      /unexpected tensors: extra/,
    ],
    "a tensor too few": [
      () => {
        const { "encoder.bias": _, ...rest } = autoEncoder();
        return { "ae.pt": torchFile(rest) };
      },
      /no tensor encoder\.bias/,
    ],
    "names of prototypes": [
      () => ({ "ae.pt": torchFile({ ...autoEncoder(), __proto__x: tensor([1]), constructor: tensor([1]) }) }),
      /unexpected tensors: __proto__x, constructor/,
    ],
    "k that is not a number of features": [
      () => ({
        "ae.pt": torchFile({ ...topk(), k: tensor([], { type: "int32", values: [900] }) }),
        "config.json": JSON.stringify({ trainer: { dict_class: "AutoEncoderTopK" } }),
      }),
      /k is 900; it must be a whole number from 1 to d_sae \(4\)/,
    ],
    "k that is several": [
      () => ({
        "ae.pt": torchFile({ ...topk(), k: tensor([2], { type: "int32" }) }),
        "config.json": JSON.stringify({ trainer: { dict_class: "AutoEncoderTopK" } }),
      }),
      /k is not one finite number/,
    ],
    "a threshold that is NaN": [
      () => ({
        "ae.pt": torchFile({ ...topk(), threshold: tensor([], { values: [Number.NaN] }) }),
        "config.json": JSON.stringify({ trainer: { dict_class: "BatchTopKSAE" } }),
      }),
      /threshold is not one finite number/,
    ],
  });
  const topk = () => ({
    "encoder.weight": tensor([4, 3]),
    "encoder.bias": tensor([4]),
    "decoder.weight": tensor([3, 4]),
    b_dec: tensor([3]),
    k: tensor([], { type: "int32", values: [2] }),
    threshold: tensor([], { values: [0.5] }),
  });
});

describe("archives", () => {
  const parts = () => torchParts(autoEncoder());
  const claiming =
    (claims: NonNullable<ZipPart["claims"]>, name = "ae/data/1", deflate = false) =>
    () => ({
      "ae.pt": zip(parts().map((part) => (part.name === name ? { ...part, deflate, claims } : part))),
    });
  const added =
    (...more: ZipPart[]) =>
    () => ({ "ae.pt": zip([...parts(), ...more]) });
  const byte = new Uint8Array(1);
  const tail = (edit: (bytes: Buffer) => void) => () => {
    const bytes = zip(parts());
    edit(bytes.subarray(bytes.length - 22));
    return { "ae.pt": bytes };
  };
  /** A zip64 archive of nothing, with these two places in it. */
  const zip64 =
    (record: bigint, directory: bigint, entries = 1n) =>
    () => {
      const bytes = Buffer.alloc(56 + 20 + 22);
      bytes.write("PK\x06\x06", 0, "latin1");
      bytes.writeBigUInt64LE(entries, 32);
      bytes.writeBigUInt64LE(directory, 48);
      bytes.write("PK\x06\x07", 56, "latin1");
      bytes.writeBigUInt64LE(record, 64);
      bytes.write("PK\x05\x06", 76, "latin1");
      bytes.write("PK", 0, "latin1");
      return { "ae.pt": bytes };
    };
  refused({
    "an empty file": [() => ({ "ae.pt": "" }), /not a file of torch 1\.6 or later/],
    "a text": [() => ({ "ae.pt": "hello, I am a model" }), /not a file of torch 1\.6/],
    "torch before 1.6": [
      () => ({ "ae.pt": new PickleWriter().raw(0x80, 2, 0x8a, 10, "l\xfc\x9cF\xf9 j\xa8P\x19.").bytes() }),
      /Open it with torch and save it again/,
    ],
    "a magic word and no more": [() => ({ "ae.pt": "PK" }), /not a whole zip archive/],
    "another archive, without a pickle": [
      () => ({ "ae.pt": zip([{ name: "readme.txt", data: byte }]) }),
      /with 0 pickles named data\.pkl/,
    ],
    "two pickles": [added({ name: "b/data.pkl", data: byte }), /with 2 pickles/],
    "a pickle at its root": [() => ({ "ae.pt": zip([{ name: "data.pkl", data: byte }]) }), /0 pickles/],
    "a wrong CRC": [claiming({ crc: 7 }), /entry ae\/data\/1 does not match its size and CRC/],
    "a wrong CRC of the pickle": [claiming({ crc: 7 }, "ae/data.pkl"), /ae\/data\.pkl does not match/],
    "a size that is too small": [claiming({ bytes: 40 }), /size mismatch/],
    "a size that is too large, stored": [claiming({ bytes: 480, packedBytes: 480 }), /lies over ae\/data\/2/],
    "a size that is too large, deflated": [claiming({ bytes: 480 }, "ae/data/1", true), /has 480 bytes/],
    "deflated to more than it says": [
      claiming({ bytes: 20 }, "ae/data.pkl", true),
      /not a whole zip archive/,
    ],
    "deflated data that is not": [
      () => ({
        "ae.pt": zip(
          parts().map((part) => ({ ...part, claims: { method: part.name === "ae/data.pkl" ? 8 : 0 } })),
        ),
      }),
      /not a whole zip archive/,
    ],
    "packed by bzip2": [claiming({ method: 12 }), /packed by method 12/],
    "packed by a method that does not exist": [claiming({ method: 99 }), /packed by method 99/],
    encrypted: [claiming({ flags: 1, bytes: 36 }), /is encrypted/],
    "strongly encrypted": [claiming({ flags: 0x41 }), /strong encryption/],
    "an entry twice": [added(parts()[2]!), /two entries named ae\/data\/0/],
    "an entry over another": [claiming({ offset: 0 }), /lies over/],
    "an entry beyond the end": [claiming({ offset: 4_000_000_000 }), /beyond the end of the file/],
    "an entry of another name where it begins": [
      claiming({ nameAtStart: "ae/data/9" }),
      /something else where it begins/,
    ],
    "a path to the folder above": [
      added({ name: "../evil", data: byte }),
      /not a whole zip archive.*\.\.\/evil/,
    ],
    "a path to the folder above, further on": [
      added({ name: "ae/../../evil", data: byte }),
      /not a whole zip archive/,
    ],
    "a path from the root": [added({ name: "/etc/cron.d/evil", data: byte }), /absolute path/],
    "a path from a drive": [added({ name: "C:\\evil", data: byte }), /not a whole zip archive/],
    "a path with backslashes": [added({ name: "..\\evil", data: byte }), /not a whole zip archive/],
    "a bomb of one entry": [
      added({ name: "ae/data/x", data: byte, deflate: true, claims: { bytes: 4_000_000_000 } }),
      /claims to unpack from \d+ to 4000000000 bytes/,
    ],
    "a real bomb": [
      () => ({
        "ae.pt": zip([{ name: "ae/data.pkl", data: new Uint8Array(80 * 2 ** 20), deflate: true }]),
      }),
      /claims to unpack from \d+ to 83886080 bytes, which weights never do/,
    ],
    "an entry longer than any array": [
      claiming({ bytes: 2 ** 32 - 2, packedBytes: 2 ** 32 - 2 }),
      /is the most that is read at once/,
    ],
    "more entries than any SAE has": [
      () => ({ "ae.pt": zip(Array.from({ length: 10_001 }, (_, i) => ({ name: `ae/${i}`, data: byte }))) }),
      /claims 10001 entries/,
    ],
    "65,535 entries that are not there": [
      tail((end) => end.writeUInt16LE(65_535, 10)),
      /claims 65535 entries/,
    ],
    "more entries than there are": [tail((end) => end.writeUInt16LE(20, 10)), /not a whole zip archive/],
    "a directory at the end": [tail((end) => end.writeUInt32LE(0xffff_fff0, 16)), /outside the file/],
    "a directory of rubbish": [tail((end) => end.writeUInt32LE(0, 16)), /not a whole zip archive/],
    "several disks": [tail((end) => end.writeUInt16LE(3, 4)), /multi-disk/],
    "bytes after the end": [
      () => ({ "ae.pt": Buffer.concat([zip(parts()), Buffer.alloc(9)]) }),
      /not a whole zip archive/,
    ],
    "zip64 with its record at 2^63": [
      zip64(2n ** 63n, 0n),
      /points to byte 9223372036854776000, outside the file/,
    ],
    "zip64 with its directory at 2^63": [zip64(0n, 2n ** 63n), /not a whole zip archive/],
    "zip64 with its directory just below 2^53": [zip64(0n, 2n ** 53n - 40n), /not a whole zip archive/],
    "zip64 with 2^60 entries": [zip64(0n, 0n, 2n ** 60n), /claims 1152921504606847000 entries/],
    "written on a big-endian machine": [
      () => ({
        "ae.pt": zip(
          parts().map((part) =>
            part.name === "ae/byteorder" ? { ...part, data: Buffer.from("big") } : part,
          ),
        ),
      }),
      /big-endian machine/,
    ],
  });

  const whole = zip(parts());
  for (const length of [
    1,
    2,
    4,
    29,
    40,
    200,
    700,
    1_000,
    whole.length - 300,
    whole.length - 23,
    whole.length - 1,
  ]) {
    it(`an archive cut off at byte ${length} of ${whole.length}`, async () => {
      await place({ "ae.pt": whole.subarray(0, length) });
      await refusal();
    });
  }

  it("an archive with any byte changed: an error of ours, or an SAE", async () => {
    const target = path.join(home, "source", "ae.pt");
    for (let at = 0; at < whole.length; at += 11) {
      const bad = Buffer.from(whole);
      bad[at]! ^= 0xff;
      await writeFile(target, bad);
      await inspectFolder(target).catch((error: unknown) => expect(error).toBeInstanceOf(SaeFormatError));
    }
  }, 60_000);
});

const gemmaArrays = () => ({
  W_enc: { shape: [3, 4], values: count(12) },
  b_enc: { shape: [4], values: count(4) },
  W_dec: { shape: [4, 3], values: count(12) },
  b_dec: { shape: [3], values: count(3) },
  threshold: { shape: [4], values: count(4) },
});

describe("numpy's archives", () => {
  const good = { descr: "'<f4'", fortran: "False", shape: "(3, 4)" };
  const header = ({ descr, fortran, shape } = good) =>
    `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }`;
  /** params.npz whose W_enc is this file. */
  const withArray = (array: Uint8Array) => () => ({
    "params.npz": zip(
      Object.entries(gemmaArrays()).map(([name, { shape, values }]) => ({
        name: `${name}.npy`,
        data: name === "W_enc" ? array : npy(shape, values),
      })),
    ),
  });
  const withHeader = (text: string, bytes = 48, version = 1) =>
    withArray(npyOf(text, new Uint8Array(bytes), version));
  const without = (name: string) => () => {
    const arrays: Record<string, { shape: number[]; values: number[] }> = gemmaArrays();
    delete arrays[name];
    return { "params.npz": npz(arrays) };
  };
  const changed = (more: Record<string, { shape: number[]; values: number[] }>) => () => ({
    "params.npz": npz({ ...gemmaArrays(), ...more }),
  });
  const prefix = (edit: (bytes: Buffer) => void) => {
    const bytes = npy([3, 4], count(12));
    edit(bytes);
    return withArray(bytes);
  };
  refused({
    "not an archive": [() => ({ "params.npz": npy([3, 4], count(12)) }), /not a whole zip archive/],
    "an empty file": [() => ({ "params.npz": "" }), /not a whole zip archive/],
    "an array that is not": [withArray(Buffer.from("hello, I am an array of numbers")), /not a numpy array/],
    "an array of nothing": [withArray(new Uint8Array(0)), /not a numpy array/],
    "an array cut off in its first bytes": [
      withArray(npy([3, 4], count(12)).subarray(0, 8)),
      /not a numpy array/,
    ],
    "an array cut off in its header": [
      withArray(npy([3, 4], count(12)).subarray(0, 40)),
      /claims a header of/,
    ],
    "an array cut off in its numbers": [
      withArray(npy([3, 4], count(12)).subarray(0, 170)),
      /takes 48 bytes, but has 42/,
    ],
    "bytes after the numbers": [
      withArray(Buffer.concat([npy([3, 4], count(12)), Buffer.alloc(1)])),
      /but has 49/,
    ],
    "a version that does not exist": [prefix((bytes) => (bytes[6] = 9)), /version 9 of numpy's format/],
    "version 0": [prefix((bytes) => (bytes[6] = 0)), /version 0/],
    "a header longer than the array": [
      prefix((bytes) => bytes.writeUInt16LE(9_000, 8)),
      /claims a header of 9000 bytes/,
    ],
    "a header longer than numpy's limit": [
      withHeader(header().padEnd(20_000, " ")),
      /10000 is numpy's limit/,
    ],
    "a header of four gigabytes": [
      withArray(
        Buffer.concat([Buffer.from("\x93NUMPY\x02\x00\xff\xff\xff\xff", "latin1"), Buffer.alloc(64)]),
      ),
      /claims a header of 4294967295 bytes/,
    ],
    "a header that is code": [
      withHeader("{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (3, 4), }"),
      /header that numpy does not write.*It was not evaluated/s,
    ],
    "a shape that is code": [
      withHeader(header({ ...good, shape: "(exit(), 4)" })),
      /header that numpy does not write/,
    ],
    "a header with a call around it": [withHeader(`dict(${header()})`), /header that numpy does not write/],
    "a header that is not a dictionary": [withHeader("[1, 2, 3]"), /header that numpy does not write/],
    "a header of zeros": [withHeader("\0".repeat(50)), /header that numpy does not write/],
    "a header without a shape": [withHeader("{'descr': '<f4', 'fortran_order': False, }"), /does not write/],
    "a key too many": [withHeader(header().replace("}", "'evil': 1, }")), /does not write/],
    "Python objects": [
      withHeader(header({ ...good, descr: "'|O'" })),
      /Python objects.*pickles and are not read/s,
    ],
    "fields of Python objects": [
      withHeader(header({ ...good, descr: "[('a', '|O'), ('b', '<f4')]" })),
      /Python objects/,
    ],
    fields: [withHeader(header({ ...good, descr: "[('a', '<f4')]" })), /has dtype/],
    "big-endian numbers": [withHeader(header({ ...good, descr: "'>f4'" })), /has dtype '>f4'/],
    texts: [withHeader(header({ ...good, descr: "'<U4'" })), /has dtype '<U4'/],
    "complex numbers": [withHeader(header({ ...good, descr: "'<c8'" })), /has dtype '<c8'/],
    "a dtype from the prototype": [
      withHeader(header({ ...good, descr: "'constructor'" })),
      /has dtype 'constructor'/,
    ],
    "whole numbers": [withHeader(header({ ...good, descr: "'<i4'" })), /W_enc is I32 \[3, 4\]; weights are/],
    "Fortran order": [withHeader(header({ ...good, fortran: "True" })), /in Fortran order/],
    "an order that is neither": [withHeader(header({ ...good, fortran: "1" })), /does not write/],
    "a huge shape": [
      withHeader(header({ ...good, shape: "(1000000, 1000000)" })),
      /takes 4000000000000 bytes, but has 48/,
    ],
    "a shape beyond 2^53": [
      withHeader(header({ ...good, shape: "(99999999999999999999, 4)" })),
      /no array can have/,
    ],
    "a shape that overflows 2^64": [
      withHeader(header({ ...good, shape: "(4294967296, 4294967296, 4)" })),
      /takes .* bytes, but has 48/,
    ],
    "a negative shape": [withHeader(header({ ...good, shape: "(-3, 4)" })), /does not write/],
    "a shape of ninety dimensions": [
      withHeader(header({ ...good, shape: `(${"1, ".repeat(90)})` })),
      /no array can have/,
    ],
    "a number instead of a matrix": [
      withHeader(header({ ...good, shape: "()" }), 4),
      /W_enc is F32 \[\], not a matrix/,
    ],
    "something that is no array in it": [
      () => ({ "params.npz": zip([{ name: "evil.pkl", data: Buffer.from("cos\nsystem\n.") }]) }),
      /holds evil\.pkl/,
    ],
    "no W_enc": [without("W_enc"), /no tensor W_enc; it has b_enc/],
    "no threshold": [without("threshold"), /no tensor threshold/],
    "an array too many": [changed({ evil: { shape: [1], values: [1] } }), /unexpected tensors: evil/],
    "a shape that does not fit": [
      changed({ W_dec: { shape: [3, 4], values: count(12) } }),
      /W_dec is F32 \[3, 4\] instead/,
    ],
    NaN: [
      changed({ b_dec: { shape: [3], values: [1, Number.NaN, 3] } }),
      /b_dec is not finite: it holds NaN at element 1/,
    ],
    infinity: [
      changed({ b_dec: { shape: [3], values: [1, 2, Number.POSITIVE_INFINITY] } }),
      /b_dec is not finite: it holds Infinity/,
    ],
  });
});

const cfgOf = (given: Record<string, unknown> = {}) => ({
  architecture: "jumprelu",
  d_in: 3,
  d_sae: 4,
  dtype: "float32",
  device: "cpu",
  apply_b_dec_to_input: false,
  normalize_activations: "none",
  reshape_activations: "none",
  metadata: { sae_lens_version: "6.38.0" },
  ...given,
});

/** A folder in SAELens' layout with this in place of something of it. */
function saelens({
  cfg = JSON.stringify(cfgOf()),
  weights = safetensorsOf(gemmaArrays()),
  ...more
}: { cfg?: string | Uint8Array; weights?: Uint8Array } & Files): Files {
  return { "cfg.json": cfg, "sae_weights.safetensors": weights, ...more };
}

describe("safetensors files", () => {
  const whole = safetensorsOf(gemmaArrays());
  const one = (entry: string, bytes: number) => () =>
    saelens({ weights: safetensorsWith(`{"W_enc":${entry}}`, new Uint8Array(bytes)) });
  const header =
    (text: string, bytes = 0, claimed?: bigint) =>
    () =>
      saelens({ weights: safetensorsWith(text, new Uint8Array(bytes), claimed) });
  const two = (a: string, b: string, bytes: number) =>
    header(
      `{"W_enc":{"dtype":"U8","shape":[4],"data_offsets":${a}},"b_enc":{"dtype":"U8","shape":[4],"data_offsets":${b}}}`,
      bytes,
    );
  const changed = (more: Record<string, { shape: number[]; values: number[] }>) => () =>
    saelens({ weights: safetensorsOf({ ...gemmaArrays(), ...more }) });
  /** The good file with W_enc in another dtype. */
  const typed = (dtype: string, bytes: Uint8Array) => () => {
    const { W_enc: _, ...rest } = gemmaArrays();
    const others = safetensorsOf(rest);
    const length = Number(others.readBigUInt64LE(0));
    const entries: Record<string, { data_offsets: [number, number] }> = JSON.parse(
      others.toString("utf8", 8, 8 + length),
    );
    for (const entry of Object.values(entries)) {
      entry.data_offsets = [entry.data_offsets[0] + bytes.length, entry.data_offsets[1] + bytes.length];
    }
    const all = { W_enc: { dtype, shape: [3, 4], data_offsets: [0, bytes.length] }, ...entries };
    return saelens({
      weights: safetensorsWith(JSON.stringify(all), Buffer.concat([bytes, others.subarray(8 + length)])),
    });
  };
  refused({
    "an empty file": [() => saelens({ weights: new Uint8Array(0) }), /0 bytes, too few/],
    "seven bytes": [() => saelens({ weights: new Uint8Array(7) }), /too few/],
    "a header outside the file": [header("{}", 0, 5_000n), /claims 5000 bytes/],
    "a header of 2^60 bytes": [header("{}", 0, 2n ** 60n), /claims 1152921504606847000 bytes/],
    "a header of 2^64 - 1 bytes": [header("{}", 0, 2n ** 64n - 1n), /claims/],
    "a header that is not UTF-8": [
      () => saelens({ weights: Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe])]) }),
      /header is not JSON/,
    ],
    "a header that is not JSON": [header("{W_enc: 1}"), /header is not JSON/],
    "a header that is a list": [header("[]"), /not a JSON object/],
    "a header nested a million deep": [header(`{"a":${"[".repeat(1_000_000)}`), /nested too deeply/],
    "a header of a million nested objects": [
      header(`${'{"a":'.repeat(1_000_000)}1${"}".repeat(1_000_000)}`),
      /nested too deeply/,
    ],
    "a tensor that is a number": [one("1", 0), /has no description/],
    "a dtype that does not exist": [
      one('{"dtype":"F7","shape":[1],"data_offsets":[0,4]}', 4),
      /unknown dtype "F7"/,
    ],
    "a dtype from the prototype": [
      one('{"dtype":"constructor","shape":[],"data_offsets":[0,0]}', 0),
      /unknown dtype/,
    ],
    "a dtype that is a number": [one('{"dtype":4,"shape":[1],"data_offsets":[0,4]}', 4), /unknown dtype "4"/],
    "a negative extent": [one('{"dtype":"F32","shape":[-3,4],"data_offsets":[0,48]}', 48), /no valid shape/],
    "a fractional extent": [
      one('{"dtype":"F32","shape":[1.5,8],"data_offsets":[0,48]}', 48),
      /no valid shape/,
    ],
    "an extent of 1e400": [
      one('{"dtype":"F32","shape":[1e400],"data_offsets":[0,48]}', 48),
      /no valid shape/,
    ],
    "extents that overflow": [
      one('{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,48]}', 48),
      /takes .* bytes/,
    ],
    "a hundred dimensions": [
      one(`{"dtype":"F32","shape":[${Array(100).fill(1)}],"data_offsets":[0,4]}`, 4),
      /no valid shape/,
    ],
    "offsets backwards": [
      one('{"dtype":"F32","shape":[3,4],"data_offsets":[48,0]}', 48),
      /lies at bytes 48 to 0/,
    ],
    "offsets past the end": [
      one('{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}', 40),
      /lies at bytes 0 to 48/,
    ],
    "offsets at 2^60": [
      one('{"dtype":"F32","shape":[0],"data_offsets":[1152921504606846976,1152921504606846976]}', 8),
      /no valid data_offsets/,
    ],
    "negative offsets": [
      one('{"dtype":"F32","shape":[3,4],"data_offsets":[-48,0]}', 48),
      /no valid data_offsets/,
    ],
    "offsets in words": [
      one('{"dtype":"F32","shape":[3,4],"data_offsets":["0","48"]}', 48),
      /no valid data_offsets/,
    ],
    "a shape that is not the bytes": [
      one('{"dtype":"F16","shape":[3,4],"data_offsets":[0,48]}', 48),
      /takes 24 bytes/,
    ],
    "tensors that overlap": [two("[0,4]", "[2,6]", 6), /overlaps/],
    "tensors that are the same": [two("[0,4]", "[0,4]", 4), /overlaps/],
    "a gap": [two("[0,4]", "[5,9]", 9), /gap/],
    "a tensor twice": [
      header(
        '{"W_enc":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"W_\\u0065nc":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        4,
      ),
      /"W_enc" twice/,
    ],
    "metadata of numbers": [header('{"__metadata__":{"a":1}}'), /is not a text/],
    "bytes after the last tensor": [
      () => saelens({ weights: Buffer.concat([whole, Buffer.alloc(3)]) }),
      /3 bytes after its last tensor/,
    ],
    "a folder instead of a file": [
      () => ({ "cfg.json": JSON.stringify(cfgOf()), "sparsity.safetensors": "x" }),
      /holds no SAE of a known layout/,
    ],
    "no tensors": [header("{}"), /no tensor W_enc; it has none/],
    "a tensor too few": [
      () => {
        const { b_enc: _, ...rest } = gemmaArrays();
        return saelens({ weights: safetensorsOf(rest) });
      },
      /no tensor b_enc/,
    ],
    "a tensor too many": [changed({ W_skip: { shape: [1], values: [1] } }), /unexpected tensors: W_skip/],
    "a tensor named __proto__": [
      changed({ ["__proto__"]: { shape: [1], values: [1] } as never, evil: { shape: [1], values: [1] } }),
      /unexpected tensors/,
    ],
    "a wrong shape": [
      changed({ W_enc: { shape: [4, 3], values: count(12) } }),
      /W_enc is F32 \[4, 3\] instead of \[3, 4\]/,
    ],
    NaN: [
      changed({ W_dec: { shape: [4, 3], values: [...count(11), Number.NaN] } }),
      /W_dec is not finite: it holds NaN at element 11/,
    ],
    infinity: [
      changed({ threshold: { shape: [4], values: [Number.POSITIVE_INFINITY, 1, 2, 3] } }),
      /threshold is not finite/,
    ],
    "whole numbers for weights": [typed("I32", new Uint8Array(48)), /W_enc is I32 \[3, 4\]; weights are/],
    "8-bit floats for weights": [typed("F8_E4M3", new Uint8Array(12)), /W_enc is F8_E4M3/],
    "truth values for weights": [typed("BOOL", new Uint8Array(12)), /W_enc is BOOL/],
    "NaN in f16": [
      typed(
        "F16",
        Uint8Array.from({ length: 24 }, (_, i) => (i === 1 ? 0x7e : 0)),
      ),
      /W_enc is not finite: it holds NaN at element 0/,
    ],
    "infinity in bf16": [
      typed(
        "BF16",
        Uint8Array.from({ length: 24 }, (_, i) => [0x80, 0x7f][i] ?? 0),
      ),
      /W_enc is not finite: it holds Infinity/,
    ],
    "sparsity of other features": [
      () =>
        saelens({ "sparsity.safetensors": safetensorsOf({ sparsity: { shape: [3], values: count(3) } }) }),
      /should hold 4 numbers, but holds 3/,
    ],
    "sparsity that is NaN": [
      () =>
        saelens({
          "sparsity.safetensors": safetensorsOf({ sparsity: { shape: [4], values: [1, 2, 3, Number.NaN] } }),
        }),
      /NaN among them/,
    ],
    "sparsity by another name": [
      () => saelens({ "sparsity.safetensors": safetensorsOf({ other: { shape: [4], values: count(4) } }) }),
      /no tensor sparsity/,
    ],
    "sparsity that is cut off": [
      () => saelens({ "sparsity.safetensors": "rubbish" }),
      /too few for a safetensors header/,
    ],
    "a layer of a cross-layer transcoder": [
      () => ({
        "params.safetensors": safetensorsOf({
          w_enc: { shape: [3, 4], values: count(12) },
          w_dec: { shape: [4, 2, 3], values: count(24) },
        }),
      }),
      /one layer of a crosscoder or cross-layer transcoder/,
    ],
    "Gemma Scope 2 without a decoder": [
      () => ({ "params.safetensors": safetensorsOf({ w_enc: { shape: [3, 4], values: count(12) } }) }),
      /no tensor w_dec/,
    ],
  });

  const headerEnd = 8 + Number(whole.readBigUInt64LE(0));
  for (const length of [
    4,
    8,
    9,
    60,
    headerEnd - 1,
    headerEnd,
    headerEnd + 1,
    headerEnd + 48,
    whole.length - 4,
    whole.length - 1,
  ]) {
    it(`a file cut off at byte ${length} of ${whole.length}`, async () => {
      await place(saelens({ weights: whole.subarray(0, length) }));
      await refusal();
    });
  }
});

describe("configurations", () => {
  const cfg = (given: Record<string, unknown>) => () => saelens({ cfg: JSON.stringify(cfgOf(given)) });
  const without = (key: string) => () => saelens({ cfg: JSON.stringify({ ...cfgOf(), [key]: undefined }) });
  const facet =
    (given: Record<string, unknown>, more: Record<string, unknown> = {}) =>
    () =>
      saelens({
        cfg: JSON.stringify({
          architecture: "jumprelu-sae",
          facet: {
            format_version: 1,
            config: {
              activation: "jumprelu",
              d_in: 3,
              d_out: 3,
              d_sae: 4,
              k: null,
              rescale_acts_by_decoder_norm: false,
              apply_b_dec_to_input: false,
              normalize_activations: "none",
              transcoder: false,
              skip: false,
              n_hook_points: 1,
              metadata: {
                model_name: null,
                hook_name: null,
                hook_name_out: null,
                dataset_name: null,
                context_size: null,
                prepend_bos: null,
                training_architecture: null,
                extra: {},
              },
              ...given,
            },
            ...more,
          },
        }),
      });
  const sparsify = (given: Record<string, unknown>) => () => ({
    "cfg.json": JSON.stringify({ activation: "topk", k: 2, d_in: 3, num_latents: 4, ...given }),
    "sae.safetensors": safetensorsOf({
      "encoder.weight": { shape: [4, 3], values: count(12) },
      "encoder.bias": { shape: [4], values: count(4) },
      W_dec: { shape: [4, 3], values: count(12) },
      b_dec: { shape: [3], values: count(3) },
    }),
  });
  const learnt = (config: unknown) => () => ({
    "ae.pt": torchFile(autoEncoder()),
    "config.json": typeof config === "string" ? config : JSON.stringify(config),
  });
  const gemma2 = (config: unknown) => () => {
    const { W_enc, W_dec, b_enc, b_dec, threshold } = gemmaArrays();
    return {
      "params.safetensors": safetensorsOf({ w_enc: W_enc, w_dec: W_dec, b_enc, b_dec, threshold }),
      "config.json": JSON.stringify(config),
    };
  };
  const openai = (more: Parameters<typeof torchFile>[0]) => () => ({
    "6.pt": torchFile({
      pre_bias: tensor([3]),
      latent_bias: tensor([4]),
      "encoder.weight": tensor([4, 3]),
      "decoder.weight": tensor([3, 4]),
      ...more,
    }),
  });
  refused({
    empty: [() => saelens({ cfg: "" }), /cfg\.json is not JSON/],
    "not JSON": [() => saelens({ cfg: "architecture: topk" }), /cfg\.json is not JSON/],
    "cut off": [() => saelens({ cfg: JSON.stringify(cfgOf()).slice(0, 40) }), /cfg\.json is not JSON/],
    "Python's NaN": [
      () => saelens({ cfg: '{"architecture": "topk", "lr": NaN}' }),
      /NaN and Infinity are not JSON/,
    ],
    "not UTF-8": [() => saelens({ cfg: Buffer.from([0x7b, 0xff, 0x7d]) }), /not text in UTF-8/],
    "a list": [() => saelens({ cfg: "[]" }), /not an object of settings/],
    null: [() => saelens({ cfg: "null" }), /not an object of settings/],
    "a text": [() => saelens({ cfg: '"topk"' }), /not an object of settings/],
    "nested a million deep": [
      () => saelens({ cfg: `{"a":${"[".repeat(1_000_000)}` }),
      /nests deeper than 64/,
    ],
    "seventeen megabytes": [
      () => saelens({ cfg: `{"a":"${"x".repeat(17 * 2 ** 20)}"}` }),
      /most that is read as a configuration/,
    ],
    "no settings": [
      () => saelens({ cfg: "{}" }),
      /architecture must be text; it is missing\. d_in must be a number; it is missing/,
    ],
    "no architecture": [without("architecture"), /architecture must be /],
    "no d_in": [without("d_in"), /d_in must be /],
    "no d_sae": [without("d_sae"), /d_sae must be /],
    "no dtype": [without("dtype"), /dtype must be /],
    "no metadata": [without("metadata"), /metadata must be /],
    "an unknown architecture": [cfg({ architecture: "temporal" }), /architecture "temporal"/],
    "an architecture from the prototype": [cfg({ architecture: "__proto__" }), /architecture "__proto__"/],
    "an architecture named constructor": [cfg({ architecture: "constructor" }), /architecture "constructor"/],
    "an architecture that is a list": [cfg({ architecture: ["topk"] }), /architecture must be /],
    "an architecture a megabyte long": [cfg({ architecture: "x".repeat(2 ** 20) }), /architecture "x{80}"/],
    "d_in in words": [cfg({ d_in: "3" }), /d_in must be /],
    "d_in of zero": [cfg({ d_in: 0 }), /d_in must be /],
    "negative d_in": [cfg({ d_in: -3 }), /d_in must be /],
    "half a d_in": [cfg({ d_in: 2.5 }), /d_in must be /],
    "d_in of 1e300": [cfg({ d_in: 1e300 }), /d_in must be /],
    "d_sae that is null": [cfg({ d_sae: null }), /d_sae must be /],
    "d_sae that is a list": [cfg({ d_sae: [4] }), /d_sae must be /],
    "d_sae of a billion": [cfg({ d_sae: 1e9 }), /instead of \[3, 1000000000\]/],
    "another d_in than the weights'": [cfg({ d_in: 5 }), /W_enc is F32 \[3, 4\] instead of \[5, 4\]/],
    "a dtype of whole numbers": [cfg({ dtype: "int32" }), /dtype must be one of float32, /],
    "a dtype that is code": [cfg({ dtype: "float32'); import os" }), /dtype must be one of float32, /],
    "a dtype that is a number": [cfg({ dtype: 32 }), /dtype must be /],
    "a truth value in words": [cfg({ apply_b_dec_to_input: "yes" }), /apply_b_dec_to_input must be /],
    "an unknown normalisation": [
      cfg({ normalize_activations: "covariance_whitening" }),
      /normalize_activations must be /,
    ],
    "an unknown reshaping": [cfg({ reshape_activations: "hook_q" }), /reshape_activations must be /],
    "metadata that is a list": [cfg({ metadata: [] }), /metadata must be /],
    "a version that is a number": [
      cfg({ metadata: { sae_lens_version: 6 } }),
      /At metadata\.sae_lens_version: /,
    ],
    "a version before 6": [cfg({ metadata: { sae_lens_version: "5.11.0" } }), /must be 6\.0\.0 or later/],
    "no version": [cfg({ metadata: {} }), /At metadata\.sae_lens_version: /],
    "a hook name that is a number": [
      cfg({ metadata: { sae_lens_version: "6.0.0", hook_name: 3 } }),
      /At metadata\.hook_name: /,
    ],
    "k of zero": [cfg({ architecture: "topk", k: 0 }), /k must be /],
    "k in words": [cfg({ architecture: "topk", k: "two" }), /k must be /],
    "half a k": [cfg({ architecture: "topk", k: 1.5 }), /k must be /],
    "another architecture than the weights'": [cfg({ architecture: "gated" }), /no tensor b_gate/],
    "a transcoder of the default width": [
      cfg({ architecture: "jumprelu_transcoder" }),
      /instead of \[4, 768\]/,
    ],
    "a transcoder with b_dec at its input": [
      cfg({ architecture: "jumprelu_transcoder", d_out: 3, apply_b_dec_to_input: true }),
      /belongs to its target/,
    ],
    "a transcoder with a layer norm": [
      cfg({ architecture: "jumprelu_transcoder", d_out: 3, normalize_activations: "layer_norm" }),
      /cannot be read faithfully/,
    ],
    "k above d_sae": [
      () => {
        const { threshold: _, ...tensors } = gemmaArrays();
        return saelens({
          cfg: JSON.stringify(cfgOf({ architecture: "topk", k: 5 })),
          weights: safetensorsOf(tensors),
        });
      },
      /k is 5; it must be a whole number from 1 to d_sae \(4\)/,
    ],
    "Facet's layout from the future": [facet({}, { format_version: 2 }), /At facet\.format_version: /],
    "Facet's layout that is null": [
      () => saelens({ cfg: '{"architecture":"x","facet":null}' }),
      /facet must be /,
    ],
    "Facet's layout with a key too many": [facet({ evil: 1 }), /At facet\.config: There is no option “evil”/],
    "Facet's layout with an unknown activation": [
      facet({ activation: "softmax" }),
      /At facet\.config\.activation: /,
    ],
    "Facet's layout with hook points that do not divide": [
      facet({ n_hook_points: 2 }),
      /2 hook points of one width/,
    ],
    "Facet's layout without hook points": [
      facet({ n_hook_points: 0 }),
      /At facet\.config\.n_hook_points: n_hook_points must be at least 1/,
    ],
    "Facet's layout with k for JumpReLU": [facet({ k: 3 }), /only TopK has one/],
    "Facet's layout with other widths": [facet({ d_out: 5 }), /W_dec is F32 \[4, 3\] instead of \[4, 5\]/],
    "sparsify without k": [sparsify({ k: undefined }), /k must be /],
    "sparsify with k of zero": [sparsify({ k: 0 }), /k must be /],
    "sparsify with k above its latents": [sparsify({ k: 9 }), /k is 9/],
    "sparsify with groupmax": [sparsify({ activation: "groupmax" }), /activation "groupmax"/],
    "sparsify with signed latents": [sparsify({ signed: true }), /signed latents/],
    "sparsify with another d_in": [sparsify({ d_in: 7 }), /belongs to another SAE/],
    "sparsify with other latents": [sparsify({ num_latents: 8 }), /belongs to another SAE/],
    "sparsify with a skip connection that is not there": [
      sparsify({ skip_connection: true }),
      /no tensor W_skip/,
    ],
    "sparsify without a configuration": [
      () => ({
        "sae.safetensors": safetensorsOf({ "encoder.weight": { shape: [4, 3], values: count(12) } }),
      }),
      /There is no file .*cfg\.json/,
    ],
    "dictionary_learning with an unknown class": [
      learnt({ trainer: { dict_class: "CrossCoder" } }),
      /names the class "CrossCoder"/,
    ],
    "dictionary_learning with the class of a prototype": [
      learnt({ trainer: { dict_class: "__proto__" } }),
      /names the class "__proto__"/,
    ],
    "dictionary_learning without a trainer": [learnt({ buffer: {} }), /trainer must be /],
    "dictionary_learning with a class that is a number": [
      learnt({ trainer: { dict_class: 7 } }),
      /At trainer\.dict_class: /,
    ],
    "dictionary_learning with a configuration that is not JSON": [
      learnt("{trainer}"),
      /config\.json is not JSON/,
    ],
    "dictionary_learning with another class's tensors": [
      learnt({ trainer: { dict_class: "GatedAutoEncoder" } }),
      /no tensor gate_bias|no tensor decoder_bias|no tensor r_mag/,
    ],
    "Gemma Scope 2 of another architecture": [gemma2({ architecture: "relu" }), /architecture "relu"/],
    "Gemma Scope 2 with a hook point that is a number": [
      gemma2({ hf_hook_point_in: 22 }),
      /hf_hook_point_in must be /,
    ],
    "OpenAI with an unknown activation": [
      openai({ activation: "Softmax" }),
      /activation the text "Softmax"/,
      "6.pt",
    ],
    "OpenAI with an activation that is a number": [openai({ activation: 3 }), /activation a number/, "6.pt"],
    "OpenAI's TopK without k": [openai({ activation: "TopK" }), /does not say a k/, "6.pt"],
    "OpenAI's TopK with k in words": [
      openai({ activation: "TopK", activation_state_dict: { k: "many", postact_fn: "ReLU" } }),
      /does not say a k/,
      "6.pt",
    ],
    "OpenAI's TopK with k above its latents": [
      openai({ activation: "TopK", activation_state_dict: { k: 200, postact_fn: "ReLU" } }),
      /k is 200/,
      "6.pt",
    ],
  });
});

describe("what is not a file", () => {
  it("a path that does not exist", async () => {
    expect((await refusal("nowhere")).message).toMatch(/There is no file .*nowhere/);
  });

  it("a path through a file", async () => {
    await place({ "a.txt": "hello" });
    expect((await refusal("a.txt/cfg.json")).message).toMatch(/There is no file/);
  });

  it("a path with a zero in it", async () => {
    const reading = importSae("/tmp/a\0b", path.join(home, "out"));
    await expect(reading).rejects.toThrow(SaeFormatError);
  });

  it("a folder where the weights should be", async () => {
    await place({ "cfg.json": JSON.stringify(cfgOf()) });
    await mkdir(path.join(home, "source", "sae_weights.safetensors"));
    expect((await refusal()).message).toMatch(/is a folder, but a file is needed/);
  });

  it("a pipe, which would keep its reader waiting for ever", async () => {
    await place(saelens({}));
    await rm(path.join(home, "source", "cfg.json"));
    execFileSync("mkfifo", [path.join(home, "source", "cfg.json")]);
    expect((await refusal()).message).toMatch(/is a pipe or a device/);
  });
});

describe("activation files", () => {
  const set = (file: Uint8Array) => async () => {
    await place({ "acts.safetensors": file });
    const importing = importActivationSet({
      file: path.join(home, "source", "acts.safetensors"),
      folder: path.join(home, "sets", "set"),
    });
    await expect(importing).rejects.toThrow(ActivationSetError);
    const error = await importing.catch((thrown: unknown) => thrown as ActivationSetError);
    const left = await readdir(home, { recursive: true });
    expect(left.filter((name) => !/^(source|sets$)/.test(name))).toEqual([]);
    return error instanceof ActivationSetError ? error.message : "";
  };
  const acts = (values: number[]) => safetensorsOf({ activations: { shape: [2, 2], values } });
  const typed = (dtype: string, bytes: number[]) =>
    safetensorsWith(
      JSON.stringify({ activations: { dtype, shape: [2, 2], data_offsets: [0, bytes.length] } }),
      Uint8Array.from(bytes),
    );
  it.each([
    ["NaN", acts([1, Number.NaN, 3, 4]), /1 of 2 rows .* hold NaN or infinity, the first is row 0/],
    ["infinity", acts([1, 2, 3, Number.NEGATIVE_INFINITY]), /the first is row 1/],
    ["NaN in f16", typed("F16", [0, 0, 0, 0x7e, 0, 0, 0, 0]), /hold NaN or infinity/],
    ["infinity in bf16", typed("BF16", [0, 0, 0, 0, 0x80, 0x7f, 0, 0]), /hold NaN or infinity/],
    ["whole numbers", typed("I16", [1, 0, 1, 0, 1, 0, 1, 0]), /is I16/],
    ["no tokens", safetensorsOf({ activations: { shape: [0, 2], values: [] } }), /there must be a token/],
    ["a file cut off", acts([1, 2, 3, 4]).subarray(0, 80), /./],
    ["a header of 2^60 bytes", safetensorsWith("{}", new Uint8Array(0), 2n ** 60n), /claims/],
    [
      "a header nested a million deep",
      safetensorsWith(`{"a":${"[".repeat(1_000_000)}`, new Uint8Array(0)),
      /nested too deeply/,
    ],
  ] as const)("%s", async (_, file, message) => {
    expect(await set(file)()).toMatch(message);
  });
});
