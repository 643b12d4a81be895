import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { normals } from "../../gpu/data/random.ts";
import { trainingConfigSchema } from "../../gpu/sae/config.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import {
  CheckpointDamagedError,
  readCheckpoint,
  writeCheckpoint,
} from "../../server/artifacts/checkpoint.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-checkpoint-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const config = trainingConfigSchema.parse({ d_in: 3, d_sae: 4, k: 2 });

function state(): TrainerState {
  const numbers = (length: number) => Float32Array.from(normals(length, 1, length));
  return {
    step: 12,
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
    expect(read.step).toBe(12);
    expect(manifest).toMatchObject({ format_version: 3, adapter: "SwiftShader", config });
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
    await writeFile(path.join(folder, "manifest.json"), JSON.stringify({ format_version: 1 }));
    await expect(readCheckpoint(folder)).rejects.toThrow(
      "format 1, written by another version of Facet; this one reads format 3",
    );
  });
});
