import { mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ModelFolderError, openModelFolder } from "../../server/models/model-folder.ts";
import { safetensorsOf, safetensorsWith } from "../reference/safetensors-writer.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-model-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const gpt2 = {
  model_type: "gpt2",
  n_embd: 8,
  n_layer: 1,
  n_head: 2,
  n_positions: 16,
  vocab_size: 11,
};
const weights = "model.safetensors";
const index = "model.safetensors.index.json";
const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
const tensorA = { shape: [3, 2], values: [0, 1, 2, 3, 4, 5] };
const tensorB = { shape: [2], values: [6, 7] };

type Files = Record<string, Buffer | string | object>;

/** A folder of these files; objects are written as JSON. */
async function folderOf(files: Files, name = "model"): Promise<string> {
  const folder = path.join(home, name);
  await mkdir(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    const raw = Buffer.isBuffer(content) || typeof content === "string" ? content : JSON.stringify(content);
    await writeFile(path.join(folder, file), raw);
  }
  return folder;
}

const whole = (): Files => ({ "config.json": gpt2, [weights]: safetensorsOf({ a: tensorA, b: tensorB }) });
const sharded = (): Files => ({
  "config.json": gpt2,
  [index]: { metadata: { total_size: 32 }, weight_map: { a: shards[0], b: shards[1] } },
  [shards[0]]: safetensorsOf({ a: tensorA }),
  [shards[1]]: safetensorsOf({ b: tensorB }),
});
const mapped = (weight_map: unknown): Files => ({ ...sharded(), [index]: { weight_map } });
const without = (files: Files, ...names: string[]): Files =>
  Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));

const openHandles = async () => (await readdir("/proc/self/fd").catch(() => [])).length;

/** Opening fails in these words, as an error of its type, and leaves no file open. */
async function refused(folder: string, words: RegExp | string): Promise<void> {
  const before = await openHandles();
  const opening = openModelFolder(folder);
  await expect(opening).rejects.toThrow(words);
  await expect(opening).rejects.toThrow(ModelFolderError);
  await expect(opening).rejects.toMatchObject({ code: "invalid", message: expect.stringMatching(/\.$/) });
  expect(await openHandles()).toBe(before);
}

describe("a model's folder", () => {
  it("gives the configuration and the weights of one file, slice by slice", async () => {
    const model = await openModelFolder(await folderOf(whole()));
    expect(model).toMatchObject({ name: "model", config: gpt2, spec: { model_type: "gpt2", d_vocab: 11 } });
    expect([...model.weights.names].sort()).toEqual(["a", "b"]);
    expect(model.weights.shape("a")).toEqual([3, 2]);
    expect(await model.weights.rows("a", 1, 2)).toEqual(Float32Array.of(2, 3, 4, 5));
    expect(await model.weights.rows("a", 3, 0)).toEqual(new Float32Array());
    expect(await model.weights.rows("b", 1, 1)).toEqual(Float32Array.of(7));
    await expect(model.weights.rows("a", 2, 2)).rejects.toThrow(RangeError);
    await expect(model.weights.rows("c", 0, 1)).rejects.toThrow(/no tensor "c"/);
    expect(() => model.weights.shape("c")).toThrow(ModelFolderError);
    await model.close();
  });

  it("gives the weights of shards as one, and no others", async () => {
    const files = sharded();
    const extra = safetensorsOf({ b: tensorB, unlisted: tensorB });
    const before = await openHandles();
    const model = await openModelFolder(await folderOf({ ...files, [shards[1]]: extra }));
    expect([...model.weights.names].sort()).toEqual(["a", "b"]);
    expect(await model.weights.rows("a", 0, 1)).toEqual(Float32Array.of(0, 1));
    expect(await model.weights.rows("b", 0, 2)).toEqual(Float32Array.of(6, 7));
    await model.close();
    expect(await openHandles()).toBe(before);
  });

  it("reads half precision", async () => {
    const header = {
      h: { dtype: "F16", shape: [2], data_offsets: [0, 4] },
      g: { dtype: "BF16", shape: [2], data_offsets: [4, 8] },
    };
    const data = Buffer.from(Uint16Array.of(0x3c00, 0xc000, 0x3f80, 0xc000).buffer);
    const file = safetensorsWith(JSON.stringify(header), data);
    const model = await openModelFolder(await folderOf({ ...whole(), [weights]: file }));
    expect(await model.weights.rows("h", 0, 2)).toEqual(Float32Array.of(1, -2));
    expect(await model.weights.rows("g", 1, 1)).toEqual(Float32Array.of(-2));
    await model.close();
  });

  it("may be made of links, as Hugging Face's cache is", async () => {
    const blobs = await folderOf(sharded(), "blobs");
    const snapshot = path.join(home, "snapshot");
    await mkdir(snapshot);
    for (const name of await readdir(blobs)) {
      await symlink(path.join("..", "blobs", name), path.join(snapshot, name));
    }
    const model = await openModelFolder(snapshot);
    expect(await model.weights.rows("b", 0, 2)).toEqual(Float32Array.of(6, 7));
    await model.close();
  });

  it("prefers one file of weights to an index beside it", async () => {
    const model = await openModelFolder(await folderOf({ ...mapped({ z: "none.safetensors" }), ...whole() }));
    expect([...model.weights.names].sort()).toEqual(["a", "b"]);
    await model.close();
  });
});

describe("a folder that is no model", () => {
  it("is missing, a file, or empty", async () => {
    await refused(path.join(home, "none"), /There is no folder .*none.*hf download/);
    const folder = await folderOf(whole());
    await refused(path.join(folder, weights), "There is no folder");
    await refused(await folderOf({}, "empty"), /has no config\.json/);
  });

  it.each<[string, Buffer | string, RegExp]>([
    ["is not JSON", "{", /is not JSON/],
    ["is no object", "[1]", /not an object/],
    ["is not text", Buffer.from([0x7b, 0xff, 0x7d]), /not text in UTF-8/],
    ["nests deeply", `${"[".repeat(1_000)}${"]".repeat(1_000)}`, /nests deeper than 64/],
    ["is empty", "", /is not JSON/],
    ["is too long", Buffer.alloc(16 * 2 ** 20 + 1, 0x20), /is the most that is read/],
    ["says no type", "{}", /model_type/],
    ["says a type of another kind", '{"model_type":7}', /model_type/],
    ["makes no sense", JSON.stringify({ ...gpt2, n_head: 3 }), /3 heads/],
    ["asks for a huge model", JSON.stringify({ ...gpt2, n_embd: 1e15 }), /n_embd/],
    ["is of a type that is not known", '{"model_type":"mamba"}', /"mamba" cannot be run/],
  ])("has a configuration that %s", async (_name, config, words) => {
    await refused(await folderOf({ ...whole(), "config.json": config }), words);
  });

  it("has a configuration that is a folder", async () => {
    const folder = await folderOf(without(whole(), "config.json"));
    await mkdir(path.join(folder, "config.json"));
    await refused(folder, /is a folder, but a file is needed/);
  });

  it("has a model of a known type that needs what is missing, which is said", async () => {
    const exotic = { ...gpt2, activation_function: "sparkle" };
    await refused(await folderOf({ ...whole(), "config.json": exotic }), /"sparkle" is not known/);
  });

  it("holds no weights, only pickled ones, or shards without their index", async () => {
    const folder = await folderOf({ "config.json": gpt2 });
    await refused(folder, /holds no weights: neither model\.safetensors nor/);
    await writeFile(path.join(folder, shards[0]), "");
    await refused(folder, /holds model-00001-of-00002\.safetensors, but neither/);
    await writeFile(path.join(folder, "pytorch_model.bin"), "");
    await refused(folder, /pytorch_model\.bin, a pickle, .*only safetensors.*save_pretrained/);
  });
});

describe("weights that are damaged or hostile", () => {
  it("are cut off, in the header or in the tensors", async () => {
    const folder = await folderOf(whole());
    for (const length of [0, 5, 40]) {
      const file = path.join(folder, weights);
      await writeFile(file, safetensorsOf({ a: tensorA }));
      await truncate(file, length);
      await refused(folder, /model\.safetensors: .*(too few|cut off)/);
    }
    const bytes = safetensorsOf({ a: tensorA });
    await writeFile(path.join(folder, weights), bytes.subarray(0, bytes.length - 4));
    await refused(folder, /damaged or cut off/);
  });

  it("are cut off while they are being read", async () => {
    const folder = await folderOf(whole());
    const model = await openModelFolder(folder);
    await truncate(path.join(folder, weights), 20);
    await expect(model.weights.rows("a", 0, 1)).rejects.toThrow(/cut off while being read/);
    await expect(model.weights.rows("a", 0, 1)).rejects.toThrow(ModelFolderError);
    await model.close();
  });

  it("claim a header of exabytes, overlap, or name a tensor twice", async () => {
    const overlap = {
      a: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
      b: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    };
    const entry = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
    const hostile: [Buffer, RegExp][] = [
      [safetensorsWith("{}", Buffer.alloc(0), 2n ** 62n), /header claims/],
      [safetensorsWith(JSON.stringify(overlap), Buffer.alloc(4)), /overlaps/],
      [safetensorsWith(`{${entry},${entry}}`, Buffer.alloc(4)), /twice/],
      [
        safetensorsWith('{"a":{"dtype":"F32","shape":[1e15,1e15],"data_offsets":[0,4]}}', Buffer.alloc(4)),
        /takes/,
      ],
    ];
    for (const [file, words] of hostile)
      await refused(await folderOf({ ...whole(), [weights]: file }), words);
  });

  it("are a pointer of git LFS", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 548105171\n";
    await refused(await folderOf({ ...whole(), [weights]: pointer }), /pointer of git LFS.*git lfs pull/);
  });

  it("are a link that leads nowhere, or a folder", async () => {
    const folder = await folderOf(without(whole(), weights));
    await symlink(path.join(home, "gone"), path.join(folder, weights));
    await refused(folder, /lacks 1 of the model's 1 files: "model\.safetensors"/);
    await rm(path.join(folder, weights));
    await mkdir(path.join(folder, weights));
    await refused(folder, /is a folder, but a file is needed/);
  });

  it("are of a dtype that holds no weights, which is said when they are asked for", async () => {
    const file = safetensorsWith('{"q":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}', Buffer.alloc(4));
    const model = await openModelFolder(await folderOf({ ...whole(), [weights]: file }));
    await expect(model.weights.rows("q", 0, 4)).rejects.toThrow(ModelFolderError);
    await expect(model.weights.rows("q", 0, 4)).rejects.toThrow(
      /q is I8 \[4\]; weights are F32, F16 or BF16/,
    );
    await model.close();
  });
});

describe("an index of shards", () => {
  it.each([
    "../outside.safetensors",
    "/etc/outside.safetensors",
    "sub/inside.safetensors",
    "..\\outside.safetensors",
    "C:\\outside.safetensors",
    "a\0.safetensors",
    ".hidden.safetensors",
    "..",
    "",
    "model.bin",
    `${"a".repeat(300)}.safetensors`,
  ])("may not name %j", async (name) => {
    await writeFile(path.join(home, "outside.safetensors"), safetensorsOf({ a: tensorA }));
    await refused(await folderOf(mapped({ a: name })), /a shard is a \.safetensors file beside the index/);
  });

  it("must map tensors to names of files", async () => {
    for (const map of [undefined, null, [], "x", {}]) {
      await refused(await folderOf(mapped(map)), /has no weight_map/);
    }
    await refused(await folderOf(mapped({ a: 1 })), /places "a" in 1;/);
    await refused(await folderOf(mapped({ a: { b: shards[0] } })), /places "a" in /);
    await refused(await folderOf({ ...sharded(), [index]: "{" }), /index\.json is not JSON/);
  });

  it("names files that are all there, and all that are missing are named", async () => {
    const map = Object.fromEntries(
      Array.from({ length: 8 }, (_, at) => [`t${at}`, `shard-${at}.safetensors`]),
    );
    await refused(
      await folderOf({ ...mapped({ a: shards[0], ...map }) }),
      /lacks 8 of the model's 9 files: "shard-0\.safetensors", .*"shard-4\.safetensors" and 3 more\./,
    );
    await refused(
      await folderOf(without(sharded(), shards[1]), "one"),
      new RegExp(`1 of .* 2 .*${shards[1]}`),
    );
  });

  it("names tensors that are in their shards", async () => {
    await refused(
      await folderOf(mapped({ a: shards[1], b: shards[1] })),
      /00002-of-00002\.safetensors lacks "a", which model\.safetensors\.index\.json says it holds/,
    );
  });

  it("names no more files than may be open", async () => {
    const map = Object.fromEntries(
      Array.from({ length: 600 }, (_, at) => [`t${at}`, `shard-${at}.safetensors`]),
    );
    await refused(await folderOf(mapped(map)), /names 600 files; 512 is the most/);
  });

  it("may hold names that JavaScript's objects have of their own", async () => {
    const raw = `{"weight_map":{"__proto__":"${shards[0]}"}}`;
    await refused(await folderOf({ ...sharded(), [index]: raw }), /lacks "__proto__"/);
    await refused(await folderOf(mapped({ constructor: shards[0], a: shards[0] })), /lacks "constructor"/);
  });
});
