import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Capabilities } from "../../gpu/device/gpu.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { plannedBytes } from "../../gpu/lm/language-model.ts";
import { writeWholeFile } from "../../server/artifacts/atomic-file.ts";
import { writeSlicedSafetensors } from "../../server/artifacts/sliced-safetensors.ts";
import { StorageError } from "../../server/artifacts/storage-error.ts";
import { InvalidInputError } from "../../server/errors.ts";
import { openSafetensorsFile } from "../../server/formats/safetensors-file.ts";
import { readFloat32 } from "../../server/formats/tensor-file.ts";
import { sequencesTogether } from "../../server/headless/capture-batch.ts";
import { captureRequest } from "../../server/headless/capture-request.ts";
import { checkTokens, openTokenFile, TokenFileError } from "../../server/models/token-file.ts";
import { safetensorsWith } from "../reference/safetensors-writer.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-capture-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));
const at = (name: string) => path.join(home, name);

describe("a file of token ids", () => {
  const limits = { vocabulary: 100, positions: 8 };
  type Ids = Int32Array | Uint32Array | BigInt64Array | Float32Array | BigUint64Array;

  async function file(dtype: string, shape: number[], ids: Ids, name = "input_ids"): Promise<string> {
    const entry = { dtype, shape, data_offsets: [0, ids.byteLength] };
    // A name of any length: the ids begin anywhere in the file.
    const header = JSON.stringify({ [name]: entry, __metadata__: { odd: "x" } });
    await writeFile(at("ids.safetensors"), safetensorsWith(header, new Uint8Array(ids.buffer)));
    return at("ids.safetensors");
  }

  it.each<[string, Ids]>([
    ["I32", Int32Array.of(0, 1, 2, 97, 98, 99)],
    ["U32", Uint32Array.of(0, 1, 2, 97, 98, 99)],
    ["I64", BigInt64Array.of(0n, 1n, 2n, 97n, 98n, 99n)],
  ])("is read by sequences in %s", async (dtype, ids) => {
    const tokens = await openTokenFile(await file(dtype, [3, 2], ids), limits);
    expect(tokens).toMatchObject({ n_sequences: 3, length: 2, notes: [] });
    expect(await tokens.read(0, 3)).toEqual(Uint32Array.of(0, 1, 2, 97, 98, 99));
    expect(await tokens.read(1, 1)).toEqual(Uint32Array.of(2, 97));
    await checkTokens(tokens, new AbortController().signal);
    await tokens.close();
  });

  it.each<[string, Ids, string]>([
    ["I32", Int32Array.of(0, 1, 2, 3, -7, 5), "sequence 2 has the id -7 at position 0"],
    ["I32", Int32Array.of(0, 1, 2, 100, 4, 5), "sequence 1 has the id 100 at position 1"],
    ["U32", Uint32Array.of(0, 1, 2, 3, 4, 2 ** 32 - 1), "sequence 2 has the id 4294967295 at position 1"],
    ["I64", BigInt64Array.of(0n, 1n, -1n, 3n, 4n, 5n), "sequence 1 has the id -1 at position 0"],
    [
      "I64",
      BigInt64Array.of(0n, 2n ** 32n, 2n, 3n, 4n, 5n),
      "sequence 0 has the id 4294967296 at position 1",
    ],
    ["I64", BigInt64Array.of(-(2n ** 63n), 1n, 2n, 3n, 4n, 5n), "the id -9223372036854775808 at position 0"],
  ])("of %s may hold no id outside of the vocabulary", async (dtype, ids, words) => {
    const tokens = await openTokenFile(await file(dtype, [3, 2], ids), limits);
    const checking = checkTokens(tokens, new AbortController().signal);
    await expect(checking).rejects.toThrow(words);
    await expect(checking).rejects.toThrow(/the model's ids are 0 to 99/);
    await expect(checking).rejects.toThrow(TokenFileError);
    await tokens.close();
  });

  it.each<[string, number[], Ids, string, RegExp]>([
    ["F32", [3, 2], new Float32Array(6), "input_ids", /is F32 \[3, 2\], but is to be I32, U32 or I64/],
    ["U64", [3, 2], new BigUint64Array(6), "input_ids", /is U64/],
    ["I32", [6], new Int32Array(6), "input_ids", /is I32 \[6\]/],
    ["I32", [3, 2, 1], new Int32Array(6), "input_ids", /is I32 \[3, 2, 1\]/],
    ["I32", [0, 2], new Int32Array(0), "input_ids", /there must be a token/],
    ["I32", [2, 0], new Int32Array(0), "input_ids", /there must be a token/],
    ["I32", [1, 9], new Int32Array(9), "input_ids", /sequences of 9 tokens, but the model takes at most 8/],
    ["I32", [3, 2], new Int32Array(6), "tokens", /no tensor input_ids.*It holds: tokens I32 \[3, 2\]/],
  ])("of %s %j is refused where it does not fit", async (dtype, shape, ids, name, words) => {
    const opening = openTokenFile(await file(dtype, shape, ids, name), limits);
    await expect(opening).rejects.toThrow(words);
    await expect(opening).rejects.toThrow(TokenFileError);
  });

  it("is refused where it is missing, a folder, or cut off", async () => {
    await expect(openTokenFile(at("none"), limits)).rejects.toThrow(/There is no file .*none/);
    await expect(openTokenFile(home, limits)).rejects.toThrow(/is a folder/);
    const cut = await file("I32", [3, 2], new Int32Array(6));
    await truncate(cut, 100);
    await expect(openTokenFile(cut, limits)).rejects.toThrow(TokenFileError);
  });

  it("stops being checked when nobody wants it any more", async () => {
    const tokens = await openTokenFile(await file("I32", [3, 2], new Int32Array(6)), limits);
    await expect(checkTokens(tokens, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    await tokens.close();
  });

  it("notes a mask that is not used", async () => {
    const entries = {
      input_ids: { dtype: "I32", shape: [1, 1], data_offsets: [0, 4] },
      attention_mask: { dtype: "I32", shape: [1, 1], data_offsets: [4, 8] },
    };
    await writeFile(at("masked"), safetensorsWith(JSON.stringify(entries), new Uint8Array(8)));
    const tokens = await openTokenFile(at("masked"), limits);
    expect(tokens.notes).toEqual([expect.stringContaining("attention_mask, which is not used")]);
    await tokens.close();
  });
});

describe("a safetensors file written in slices", () => {
  const tensors = [
    { name: "a", shape: [3, 2] },
    { name: "b", shape: [3, 1, 2] },
  ];

  it("holds every slice in its place, in whatever order they came", async () => {
    const out = at("deep/acts.safetensors");
    const bytes = await writeSlicedSafetensors(out, tensors, { model_name: "m" }, async (write) => {
      await write("b", 0, Float32Array.of(10, 11));
      await write("a", 1, Float32Array.of(2, 3, 4, 5));
      await write("b", 1, Float32Array.of(12, 13, 14, 15));
      await write("a", 0, Float32Array.of(9, 0, 1).subarray(1));
    });
    const file = await openSafetensorsFile(out);
    expect(Object.fromEntries(file.metadata)).toEqual({ model_name: "m" });
    expect(file.bytes).toBe(bytes);
    expect([...file.tensors.values()].map(({ name, shape }) => ({ name, shape }))).toEqual(tensors);
    expect(await readFloat32(file, file.tensors.get("a")!)).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
    expect(await readFloat32(file, file.tensors.get("b")!)).toEqual(Float32Array.of(10, 11, 12, 13, 14, 15));
    await file.close();
    expect(await readdir(at("deep"))).toEqual(["acts.safetensors"]);
  });

  it("is not there when writing failed, fell short or went beyond", async () => {
    const out = at("acts.safetensors");
    const failing = writeSlicedSafetensors(out, tensors, {}, async (write) => {
      await write("a", 0, new Float32Array(6));
      expect(await readdir(home)).toEqual(["acts.safetensors.partial"]);
      throw new Error("lost");
    });
    await expect(failing).rejects.toThrow("lost");
    const short = writeSlicedSafetensors(out, tensors, {}, (write) => write("a", 0, new Float32Array(6)));
    await expect(short).rejects.toThrow(/bytes were written/);
    const beyond = writeSlicedSafetensors(out, tensors, {}, (write) => write("a", 2, new Float32Array(4)));
    await expect(beyond).rejects.toThrow(RangeError);
    const other = writeSlicedSafetensors(out, tensors, {}, (write) => write("c", 0, new Float32Array(1)));
    await expect(other).rejects.toThrow("c.");
    expect(await readdir(home)).toEqual([]);
  });

  it("is not begun where the disk lacks the room", async () => {
    let begun = false;
    const huge = writeSlicedSafetensors(
      at("huge"),
      [{ name: "a", shape: [2 ** 40, 2 ** 10] }],
      {},
      async () => {
        begun = true;
      },
    );
    await expect(huge).rejects.toThrow(/MB are needed in .* has .* free\. Free some space/);
    await expect(huge).rejects.toThrow(StorageError);
    expect([begun, await readdir(home)]).toEqual([false, []]);
  });

  it("says in words that the disk became full, and leaves nothing", async () => {
    const full = writeWholeFile(at("full"), async (file) => {
      await file.writeFile("half");
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    });
    await expect(full).rejects.toMatchObject({
      fault: "disk_full",
      message: expect.stringContaining("is full"),
    });
    expect(await readdir(home)).toEqual([]);
  });

  it("stays as it was when another cannot be written in its place", async () => {
    await writeFile(at("kept"), "old");
    const failing = writeWholeFile(at("kept"), () => Promise.reject(new Error("lost")));
    await expect(failing).rejects.toThrow("lost");
    expect(await readFile(at("kept"), "utf8")).toBe("old");
    await writeWholeFile(at("kept"), (file) => file.writeFile("new"));
    expect(await readFile(at("kept"), "utf8")).toBe("new");
    expect(await readdir(home)).toEqual(["kept"]);
  });
});

describe("a command line of capture", () => {
  const request = (options: Record<string, string[]>) => captureRequest(new Map(Object.entries(options)));
  const given = { model: ["m"], tokens: ["t"], hooks: ["a, b", "c,"], out: ["o"] };
  const faultsOf = (options: Record<string, string[]>) => {
    try {
      request(options);
    } catch (error) {
      if (error instanceof InvalidInputError)
        return error.faults.map(({ path, message }) => `${path}: ${message}`);
      throw error;
    }
    return [];
  };

  it("gives what it says, the last of what is said twice", () => {
    const plain = {
      model: "m",
      tokens: "t",
      hooks: ["a", "b", "c"],
      out: "o",
      batch_size: null,
      precision: "f32",
      adapter: null,
    };
    expect(request(given)).toEqual(plain);
    expect(request({ ...given, precision: ["f16", "int8"] })).toEqual({ ...plain, precision: "int8" });
    expect(request({ ...given, out: ["o", "p"], "batch-size": ["3"], adapter: ["x"] })).toEqual({
      ...plain,
      out: "p",
      batch_size: 3,
      adapter: "x",
    });
  });

  it("is told of everything that is wrong at once", () => {
    expect(faultsOf({}).map((fault) => fault.split(":")[0])).toEqual([
      "--model",
      "--tokens",
      "--hooks",
      "--out",
    ]);
    expect(faultsOf({ ...given, hooks: ["a,b", "a,c,b,a"], "batch-size": ["1.5"] })).toEqual([
      "--hooks: a is named more than once; name it once.",
      "--hooks: b is named more than once; name it once.",
      expect.stringMatching(/^--batch-size: .*not 1\.5\.$/),
    ]);
    expect(faultsOf({ ...given, hooks: [" , "] })).toEqual(["--hooks: It names no hook point; name one."]);
    for (const size of ["0", "-1", "x", ""])
      expect(faultsOf({ ...given, "batch-size": [size] })).toHaveLength(1);
  });
});

describe("sequences that go through a model together", () => {
  const spec = describeModel({
    model_type: "gpt2",
    n_embd: 8,
    n_layer: 1,
    n_head: 2,
    n_positions: 1024,
    vocab_size: 11,
  });
  const hooks = ["blocks.0.hook_resid_post"];
  const capabilities = (max_storage_buffer_binding_size = 2 ** 30): Capabilities => ({
    adapter: "imagined",
    vendor: "",
    architecture: "",
    driver: "",
    software: true,
    timestamps: false,
    shader_f16: false,
    subgroup_min_size: 4,
    subgroup_max_size: 4,
    subgroup_matrices: [],
    limits: {
      max_storage_buffer_binding_size,
      max_buffer_size: 2 ** 30,
      max_compute_workgroup_storage_size: 16_384,
      max_compute_invocations_per_workgroup: 256,
      max_compute_workgroups_per_dimension: 65_535,
      max_storage_buffers_per_shader_stage: 8,
    },
  });
  const together = (length: number, n_sequences: number, budget = Number.POSITIVE_INFINITY, limit?: number) =>
    sequencesTogether(
      { capabilities: capabilities(limit), ledger: { budget, used: 0 } },
      { spec, hooks, n_sequences, length },
    );

  it("are 4,096 tokens, all there are, or one", () => {
    expect(together(128, 1_000)).toBe(32);
    expect(together(128, 5)).toBe(5);
    expect(together(100, 1_000)).toBe(40);
    expect(together(1_024, 1_000)).toBe(4);
    expect(together(1, 1)).toBe(1);
  });

  it("are fewer where the GPU has less room", () => {
    const size = { hooks, n_sequences: 8, length: 128 };
    const budget = plannedBytes(spec, capabilities(), size);
    expect(together(128, 1_000, budget)).toBe(8);
    expect(together(128, 1_000, budget - 1)).toBe(4);
    expect(together(128, 1_000, 1)).toBe(1);
    // The widest of its activations are the MLP's, 32 numbers a token.
    expect(together(128, 1_000, budget, 4 * 32 * 128 * 16)).toBe(8);
    expect(together(128, 1_000, undefined, 4 * 32 * 128 * 16)).toBe(16);
    expect(together(128, 1_000, undefined, 4 * 32 * 128 * 16 - 1)).toBe(8);
  });
});
