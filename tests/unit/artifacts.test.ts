import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { normals } from "../../gpu/data/random.ts";
import { readSafetensorsHeader, safetensorsPieces } from "../../gpu/data/safetensors.ts";
import { trainingConfigSchema } from "../../gpu/sae/config.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import { folderHash, removeLeftovers, writeFolder } from "../../server/artifacts/atomic-folder.ts";
import {
  CheckpointDamagedError,
  readCheckpoint,
  writeCheckpoint,
} from "../../server/artifacts/checkpoint.ts";
import { openFile } from "../../server/artifacts/file-source.ts";
import { readSaeFolder, SaeFolderError, writeSaeFolder } from "../../server/artifacts/sae-folder.ts";
import { StorageError, storageError } from "../../server/artifacts/storage-error.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-artifacts-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const text = (value: string) => new TextEncoder().encode(value);
const sha256 = (value: Uint8Array | string) => createHash("sha256").update(value).digest("hex");

describe("a folder appears whole or not at all", () => {
  it("writes, hashes and replaces", async () => {
    const target = path.join(home, "a", "b");
    for (const content of ["first", "second"]) {
      const written = await writeFolder(target, async (folder) => {
        await folder.file("x.txt", [text(content), text("!")]);
        await folder.file("a.txt", [text("same")]);
        return content.length;
      });
      expect(await readFile(path.join(target, "x.txt"), "utf8")).toBe(`${content}!`);
      expect(written.bytes).toBe(content.length + 1 + 4);
      expect(written.result).toBe(content.length);
      expect(written.files[0]).toEqual({
        name: "x.txt",
        bytes: content.length + 1,
        sha256: sha256(`${content}!`),
      });
      expect(written.sha256).toBe(sha256(`${sha256("same")}  a.txt\n${sha256(`${content}!`)}  x.txt\n`));
      expect(folderHash([...written.files].reverse())).toBe(written.sha256);
      expect(await readdir(path.dirname(target))).toEqual(["b"]);
    }
  });

  it("leaves the old folder and nothing else when writing fails", async () => {
    const target = path.join(home, "b");
    await writeFolder(target, (folder) => folder.file("x", [text("old")]));
    const failing = writeFolder(target, async (folder) => {
      await folder.file("x", [text("new")]);
      throw new Error("stopped");
    });
    await expect(failing).rejects.toThrow("stopped");
    expect(await readFile(path.join(target, "x"), "utf8")).toBe("old");
    expect(await readdir(home)).toEqual(["b"]);
  });

  it("clears away what a crash left, and puts a folder back that was being replaced", async () => {
    await mkdir(path.join(home, ".b.partial-0123456789ab"));
    await mkdir(path.join(home, ".b.replaced-0123456789ab"));
    await writeFile(path.join(home, ".b.replaced-0123456789ab", "x"), "old");
    await mkdir(path.join(home, ".c.partial-0123456789ab"));
    await mkdir(path.join(home, "c.partial"));
    await removeLeftovers(home, "b");
    expect((await readdir(home)).sort()).toEqual([".c.partial-0123456789ab", "b", "c.partial"]);
    expect(await readFile(path.join(home, "b", "x"), "utf8")).toBe("old");
    await removeLeftovers(home);
    expect((await readdir(home)).sort()).toEqual(["b", "c.partial"]);
  });

  it("says in words that the disk is full, before writing when the size is known", async () => {
    const written: string[] = [];
    const huge = writeFolder(path.join(home, "b"), async () => written.push("b"), 2 ** 60);
    await expect(huge).rejects.toThrow(StorageError);
    await expect(huge).rejects.toThrow(/MB are needed in .* has .* free\. Free some space/);
    expect(written).toEqual([]);
    expect(await readdir(home)).toEqual([]);
  });

  it("turns system errors into cause and next step, and passes others through", () => {
    const system = (code: string) => storageError("/home", Object.assign(new Error(code), { code }));
    expect(system("ENOSPC")).toMatchObject({
      fault: "disk_full",
      message: expect.stringContaining("is full"),
    });
    expect(system("EROFS")).toMatchObject({
      fault: "read_only",
      message: expect.stringContaining("FACET_HOME"),
    });
    expect(system("EACCES")).toMatchObject({ fault: "denied" });
    expect(system("EIO")).toMatchObject({ fault: "failed" });
    const other = new Error("else");
    expect(storageError("/home", other)).toBe(other);
  });

  it("fails in words where a file stands in the way", async () => {
    await writeFile(path.join(home, "file"), "");
    const writing = writeFolder(path.join(home, "file", "b"), (folder) => folder.file("x", []));
    await expect(writing).rejects.toThrow(StorageError);
  });
});

const config = trainingConfigSchema.parse({ d_in: 3, d_sae: 4, k: 2 });

function state(): TrainerState {
  const numbers = (length: number) => Float32Array.from(normals(length, 1, length));
  return {
    step: 12,
    activation_scale: 1.25,
    tensors: {
      W_enc: { shape: [4, 3], data: numbers(12) },
      b_dec: { shape: [3], data: new Float32Array([Number.NaN, -0, 1e-42]) },
      tokens_since_fired: { shape: [4], data: new Uint32Array([0, 1, 4_294_967_295, 7]) },
    },
  };
}

const about = { config, adapter: "SwiftShader", facet_version: "0.1.0" };

describe("checkpoints", () => {
  it("give back the very bits, and equal states give equal hashes", async () => {
    const first = await writeCheckpoint(path.join(home, "1"), state(), about);
    const second = await writeCheckpoint(path.join(home, "2"), state(), about);
    expect(second.sha256).toBe(first.sha256);
    const { state: read, manifest } = await readCheckpoint(path.join(home, "1"));
    const bits = (of: TrainerState) =>
      Object.entries(of.tensors).map(([name, { shape, data }]) => [
        name,
        shape,
        data.constructor.name,
        Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex"),
      ]);
    expect(bits(read)).toEqual(bits(state()));
    expect(read).toMatchObject({ step: 12, activation_scale: 1.25 });
    expect(manifest).toMatchObject({ format_version: 1, adapter: "SwiftShader", config });
    expect(first.bytes).toBe(
      (await stat(path.join(home, "1", "state.safetensors"))).size +
        (await stat(path.join(home, "1", "manifest.json"))).size,
    );
  });

  it("changed bytes and cuts are noticed", async () => {
    const folder = path.join(home, "1");
    await writeCheckpoint(folder, state(), about);
    for (const name of ["state.safetensors", "manifest.json"]) {
      const file = path.join(folder, name);
      const good = await readFile(file);
      // The last byte of the manifest is a line feed, which carries nothing.
      for (let at = 0; at < good.length - 1; at += 7) {
        const bad = Buffer.from(good);
        bad[at]! ^= 0x01;
        await writeFile(file, bad);
        await expect(readCheckpoint(folder)).rejects.toThrow(CheckpointDamagedError);
      }
      for (const length of [0, 1, good.length - 2]) {
        await writeFile(file, good);
        await truncate(file, length);
        await expect(readCheckpoint(folder)).rejects.toThrow(CheckpointDamagedError);
      }
      await rm(file);
      await expect(readCheckpoint(folder)).rejects.toThrow(CheckpointDamagedError);
      await writeFile(file, good);
    }
    await readCheckpoint(folder);
  });

  it("one of another format says so", async () => {
    const folder = path.join(home, "1");
    await writeCheckpoint(folder, state(), about);
    await writeFile(path.join(folder, "manifest.json"), JSON.stringify({ format_version: 2 }));
    await expect(readCheckpoint(folder)).rejects.toThrow("format 2, written by another version");
  });
});

describe("SAE folders in SAELens' layout", () => {
  const numbers = (length: number) => Float32Array.from(normals(length, 2, length));
  const sae = () => ({
    W_enc: { shape: [3, 4], data: numbers(12) },
    b_enc: { shape: [4], data: numbers(4) },
    W_dec: { shape: [4, 3], data: numbers(12).reverse() },
    b_dec: { shape: [3], data: numbers(3) },
  });
  const frequency = new Float32Array([0, 0.5, 1, 0.001]);
  const provenance = {
    hook_name: "blocks.2.hook_resid_post",
    model_name: "gpt2",
    dataset_name: null,
    source: { kind: "synthetic" },
    facet_version: "0.1.0",
  };
  const write = (folder: string) => writeSaeFolder(folder, sae(), frequency, config, provenance);

  it("holds SAELens' files, keys and tensors, and nothing that changes from run to run", async () => {
    const first = await write(path.join(home, "1"));
    const second = await write(path.join(home, "2"));
    expect(second.sha256).toBe(first.sha256);
    expect(second.files).toEqual(first.files);
    const folder = path.join(home, "1");
    expect((await readdir(folder)).sort()).toEqual([
      "cfg.json",
      "runner_cfg.json",
      "sae_weights.safetensors",
      "sparsity.safetensors",
    ]);
    const cfg = JSON.parse(await readFile(path.join(folder, "cfg.json"), "utf8"));
    expect(cfg).toMatchObject({
      architecture: "topk",
      d_in: 3,
      d_sae: 4,
      dtype: "float32",
      device: "cpu",
      apply_b_dec_to_input: true,
      normalize_activations: "none",
      reshape_activations: "none",
      k: 2,
      rescale_acts_by_decoder_norm: false,
      metadata: { sae_lens_version: "6.38.0", model_name: "gpt2", hook_name: "blocks.2.hook_resid_post" },
    });
    const weights = await openFile(path.join(folder, "sae_weights.safetensors"));
    const header = await readSafetensorsHeader(weights);
    await weights.close();
    expect(header.metadata.size).toBe(0);
    expect([...header.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape]).sort()).toEqual(
      [
        ["W_dec", "F32", [4, 3]],
        ["W_enc", "F32", [3, 4]],
        ["b_dec", "F32", [3]],
        ["b_enc", "F32", [4]],
      ],
    );
  });

  it("reads back what was written; sparsity is log10 of the firing frequency", async () => {
    await write(path.join(home, "1"));
    const { cfg, tensors, sparsity } = await readSaeFolder(path.join(home, "1"));
    expect(cfg.k).toBe(2);
    expect(tensors).toEqual(sae());
    expect([...sparsity]).toEqual(
      [...Float32Array.from([1e-10, 0.5, 1, 0.001], (p) => Math.log10(p))].map((value, i) =>
        expect.closeTo(i === 0 ? -10 : value, 5),
      ),
    );
  });

  it("refuses weights that are not finite", async () => {
    const bad = sae();
    bad.W_dec.data[3] = Number.POSITIVE_INFINITY;
    const writing = writeSaeFolder(path.join(home, "1"), bad, frequency, config, provenance);
    await expect(writing).rejects.toThrow(SaeFolderError);
    expect(await readdir(home)).toEqual([]);
  });

  it("the reader is as strict as SAELens' loader", async () => {
    const folder = path.join(home, "1");
    await write(folder);
    const file = path.join(folder, "sae_weights.safetensors");
    const good = await readFile(file);
    const replace = async (tensors: Parameters<typeof safetensorsPieces>[0]) =>
      writeFile(file, Buffer.concat(safetensorsPieces(tensors)));
    const all = Object.entries(sae()).map(([name, tensor]) => ({ name, ...tensor }));
    await replace([...all, { name: "threshold", shape: [4], data: new Float32Array(4) }]);
    await expect(readSaeFolder(folder)).rejects.toThrow("unexpected tensors: threshold");
    await replace(all.filter(({ name }) => name !== "b_enc"));
    await expect(readSaeFolder(folder)).rejects.toThrow('no tensor "b_enc"');
    await replace(all.map((tensor) => (tensor.name === "W_enc" ? { ...tensor, shape: [4, 3] } : tensor)));
    await expect(readSaeFolder(folder)).rejects.toThrow("W_enc is F32 [4, 3] instead of F32 [3, 4]");
    await writeFile(file, good);
    await readSaeFolder(folder);
    const cfgFile = path.join(folder, "cfg.json");
    const cfg = JSON.parse(await readFile(cfgFile, "utf8"));
    for (const change of [
      { dtype: undefined },
      { architecture: "relu" },
      { normalize_activations: "layer_norm" },
    ]) {
      await writeFile(cfgFile, JSON.stringify({ ...cfg, ...change }));
      await expect(readSaeFolder(folder)).rejects.toThrow(SaeFolderError);
    }
    await writeFile(
      cfgFile,
      JSON.stringify({ ...cfg, metadata: { ...cfg.metadata, sae_lens_version: "5.0.0" } }),
    );
    await expect(readSaeFolder(folder)).rejects.toThrow("6.0.0 or later");
  });
});
