import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ActivationSetError,
  type ImportOptions,
  importActivationSet,
  openActivationSet,
} from "../../server/artifacts/activation-set.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-activations-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

interface FileTensor {
  name: string;
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** Writes a safetensors file by hand, of any dtype. */
async function safetensors(tensors: FileTensor[], metadata?: Record<string, string>): Promise<string> {
  let end = 0;
  const entries: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const { name, dtype, shape, bytes } of tensors) {
    entries[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  const header = Buffer.from(JSON.stringify(entries));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = path.join(home, "input.safetensors");
  await writeFile(file, Buffer.concat([length, header, ...tensors.map(({ bytes }) => bytes)]));
  return file;
}

const bytesOf = (values: Float32Array | Uint16Array) => new Uint8Array(values.buffer);

function f32(shape: number[], values: number[], name = "activations"): FileTensor {
  return { name, dtype: "F32", shape, bytes: bytesOf(new Float32Array(values)) };
}

const run = (file: string, options: Partial<ImportOptions> = {}) =>
  importActivationSet({ file, folder: path.join(home, "sets", "1"), ...options });

/** Nothing of a set, whole or half, is on the disk. */
async function expectNothingLeft() {
  expect(await readdir(path.join(home, "sets")).catch(() => [])).toEqual([]);
}

describe("importing", () => {
  it("keeps f32 as f32 and states shape, hashes, mean and norms", async () => {
    const file = await safetensors([f32([2, 2], [3, 4, -3, 0])], {
      hook_name: "blocks.1.hook_resid_post",
      model: "gpt2",
    });
    const manifest = await run(file, { dataset_name: "shakespeare" });
    const stored = await readFile(path.join(home, "sets", "1", "activations.bin"));
    expect(manifest).toEqual({
      format_version: 1,
      n_tokens: 2,
      d_in: 2,
      dtype: "float32",
      bytes: 16,
      sha256: createHash("sha256").update(stored).digest("hex"),
      source_file_name: "input.safetensors",
      source_sha256: createHash("sha256")
        .update(await readFile(file))
        .digest("hex"),
      source_tensor: "activations",
      source_dtype: "F32",
      hook_name: "blocks.1.hook_resid_post",
      model_name: "gpt2",
      dataset_name: "shakespeare",
      mean: [0, 2],
      mean_norm: 4,
      norm_of_mean: 2,
    });
    const set = await openActivationSet(path.join(home, "sets", "1"));
    expect(set.manifest).toEqual(manifest);
    expect([...(await set.read(1, 1))]).toEqual([-3, 0]);
    await expect(set.read(1, 2)).rejects.toThrow(RangeError);
    await set.close();
  });

  it("keeps f16 as f16 and widens bf16 to f32, both exactly", async () => {
    const halves = new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7bff]);
    const f16 = await safetensors([{ name: "acts", dtype: "F16", shape: [2, 2], bytes: bytesOf(halves) }]);
    expect(await run(f16)).toMatchObject({ dtype: "float16", bytes: 8, source_tensor: "acts" });
    const first = await openActivationSet(path.join(home, "sets", "1"));
    expect([...(await first.read(0, 2))]).toEqual([1, -2, 2 ** -24, 65_504]);
    await first.close();
    const brain = new Uint16Array([0x3f80, 0xc000, 0x0001, 0x7f7f]);
    const bf16 = await safetensors([{ name: "acts", dtype: "BF16", shape: [2, 2], bytes: bytesOf(brain) }]);
    expect(await run(bf16)).toMatchObject({ dtype: "float32", bytes: 16, source_dtype: "BF16" });
    const second = await openActivationSet(path.join(home, "sets", "1"));
    expect([...(await second.read(0, 2))]).toEqual([1, -2, 2 ** -133, (2 - 2 ** -7) * 2 ** 127]);
    await second.close();
  });

  it("streams more than one chunk between other tensors, tells progress, hashes the whole file", async () => {
    const d_in = 256;
    const n_tokens = 10_000;
    const values = Float32Array.from({ length: d_in * n_tokens }, (_, index) => Math.floor(index / d_in));
    const around = f32([3], [1, 2, 3], "before");
    const after = { name: "zz", dtype: "I64", shape: [2], bytes: new Uint8Array(16).fill(7) };
    const activations = {
      name: "activations",
      dtype: "F32",
      shape: [n_tokens, d_in],
      bytes: bytesOf(values),
    };
    const file = await safetensors([around, activations, after]);
    const progress: number[] = [];
    const manifest = await run(file, {
      onProgress: ({ tokens, n_tokens: of }) => progress.push(tokens / of),
    });
    expect(progress.length).toBeGreaterThan(2);
    expect(progress.at(-1)).toBe(1);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(manifest.source_sha256).toBe(
      createHash("sha256")
        .update(await readFile(file))
        .digest("hex"),
    );
    expect(manifest.mean[17]).toBeCloseTo((n_tokens - 1) / 2, 6);
    expect(manifest.mean_norm).toBeCloseTo((16 * (n_tokens - 1)) / 2, 4);
    const set = await openActivationSet(path.join(home, "sets", "1"));
    expect((await set.read(9_990, 5))[0]).toBe(9_990);
    await set.close();
  });

  it("takes the named tensor, `activations`, or the only candidate; else lists what there is", async () => {
    const [a, b] = [f32([1, 2], [1, 2], "a"), f32([1, 2], [3, 4], "b")];
    const bias = f32([2], [0, 0], "bias");
    expect(await run(await safetensors([a, bias]))).toMatchObject({ source_tensor: "a" });
    expect(await run(await safetensors([a, b]), { tensor: "b" })).toMatchObject({ source_tensor: "b" });
    await expect(run(await safetensors([a, b]))).rejects.toThrow(
      /several tensors .* a F32 \[1, 2\]; b F32 \[1, 2\]/,
    );
    await expect(run(await safetensors([bias]))).rejects.toThrow(
      /no tensor of activations .* bias F32 \[2\]/,
    );
    await expect(run(await safetensors([a]), { tensor: "c" })).rejects.toThrow('no tensor "c"');
    await expect(run(await safetensors([bias]), { tensor: "bias" })).rejects.toThrow(
      "activations are F32, F16 or BF16",
    );
    const wrong = { name: "activations", dtype: "I32", shape: [1, 2], bytes: new Uint8Array(8) };
    await expect(run(await safetensors([wrong]))).rejects.toThrow('"activations" is I32 [1, 2]');
    await expect(run(await safetensors([f32([0, 2], [])]))).rejects.toThrow("there must be a token");
  });

  it("takes the sequences of a three-dimensional tensor one after another", async () => {
    const sequences = f32(
      [2, 3, 2],
      Array.from({ length: 12 }, (_, index) => index),
      "blocks.0.hook_resid_post",
    );
    expect(await run(await safetensors([sequences, f32([2, 1, 1, 1], [0, 0], "other")]))).toMatchObject({
      n_tokens: 6,
      d_in: 2,
      source_tensor: "blocks.0.hook_resid_post",
    });
    const set = await openActivationSet(path.join(home, "sets", "1"));
    expect([...(await set.read(2, 2))]).toEqual([4, 5, 6, 7]);
    await set.close();
  });
});

describe("what cannot be imported leaves nothing behind", () => {
  it("NaN and infinity, with their count and the first", async () => {
    const values = new Float32Array(5_000_000).fill(1);
    values[20 * 50 + 3] = Number.NaN;
    values[20 * 50 + 4] = Number.POSITIVE_INFINITY;
    values[20 * 200_000] = Number.NEGATIVE_INFINITY;
    const file = await safetensors([
      { name: "activations", dtype: "F32", shape: [250_000, 20], bytes: bytesOf(values) },
    ]);
    await expect(run(file)).rejects.toThrow(/2 of 250000 rows of "activations" .* first is row 50/);
    await expectNothingLeft();
    const halves = await safetensors([
      { name: "a", dtype: "F16", shape: [2, 1], bytes: bytesOf(new Uint16Array([0x3c00, 0x7c00])) },
    ]);
    await expect(run(halves)).rejects.toThrow("1 of 2 rows");
  });

  it("an import that is called off", async () => {
    const values = new Float32Array(5_000_000);
    const file = await safetensors([
      { name: "activations", dtype: "F32", shape: [250_000, 20], bytes: bytesOf(values) },
    ]);
    const controller = new AbortController();
    const importing = run(file, {
      signal: controller.signal,
      onProgress: ({ tokens }) => {
        if (tokens > 0) controller.abort(new Error("called off"));
      },
    });
    await expect(importing).rejects.toThrow("called off");
    await expectNothingLeft();
  });

  it("files that are cut off, empty, of another format or missing", async () => {
    const file = await safetensors([f32([2, 2], [1, 2, 3, 4])]);
    const good = await readFile(file);
    for (const length of [0, 7, 30, good.length - 1]) {
      await writeFile(file, good);
      await truncate(file, length);
      await expect(run(file)).rejects.toThrow(ActivationSetError);
    }
    await writeFile(file, "PK\u0003\u0004 this is a zip file");
    await expect(run(file)).rejects.toThrow("not a safetensors file");
    await expect(run(path.join(home, "none"))).rejects.toThrow(ActivationSetError);
    await expectNothingLeft();
  });
});

it("a set whose data or manifest was tampered with is refused", async () => {
  await run(await safetensors([f32([2, 2], [1, 2, 3, 4])]));
  const folder = path.join(home, "sets", "1");
  await truncate(path.join(folder, "activations.bin"), 15);
  await expect(openActivationSet(folder)).rejects.toThrow(/damaged: activations.bin has 15 bytes/);
  await writeFile(path.join(folder, "manifest.json"), "{}");
  await expect(openActivationSet(folder)).rejects.toThrow(ActivationSetError);
});
