import { readdirSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bind } from "../../gpu/device/bind.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Dispatch } from "../../gpu/device/dispatch.ts";
import {
  BufferTooLargeError,
  NoAdapterError,
  OutOfMemoryError,
  ShaderError,
} from "../../gpu/device/errors.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { ByteLedger } from "../../gpu/device/ledger.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { PipelineCache } from "../../gpu/device/pipelines.ts";
import { profile } from "../../gpu/device/profiler.ts";
import { readBuffer, readbackSliceBytes, readFloat32, readUint32 } from "../../gpu/device/readback.ts";
import { shaderNames } from "../../gpu/device/shaders.ts";

const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;

const driversBefore = process.env.VK_ICD_FILENAMES;
let gpu: Gpu;

beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});

afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

function storage(label: string, data: Float32Array<ArrayBuffer>): GPUBuffer {
  const buffer = gpu.ledger.allocate(label, data.byteLength, STORAGE | COPY_SRC | COPY_DST);
  gpu.device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

/** probe_fma with factor 2 and addend 1 from 0: chain j starts at j and ends at 2ⁿ (j + 1) − 1. */
async function fmaDispatch(
  label: string,
  groups: number,
): Promise<{ dispatch: Dispatch; operands: GPUBuffer; sums: GPUBuffer; close(): void }> {
  const operands = storage("operands", new Float32Array([2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]));
  const sums = storage("sums", new Float32Array(groups * 64 * 4));
  const pipeline = await gpu.pipelines.compute({ shader: "probe_fma", constants: { ITERATIONS: 4 } });
  const bindGroup = bind(gpu.device, pipeline, [operands, sums]);
  const dispatch: Dispatch = { label, pipeline, bindGroup, grid: [groups, 1, 1], bytes: 100, flops: 7 };
  return {
    dispatch,
    operands,
    sums,
    close() {
      gpu.ledger.free(operands);
      gpu.ledger.free(sums);
    },
  };
}

describe("opening", () => {
  test("reports what the adapter is and can do", () => {
    const { adapter, limits, subgroup_matrices } = gpu.capabilities;
    expect(adapter).not.toBe("");
    expect(Array.isArray(subgroup_matrices)).toBe(true);
    for (const limit of Object.values(limits)) expect(limit).toBeGreaterThan(0);
  });

  test("asks for the adapter's own limits, not the portable ones", async () => {
    const { device, capabilities } = gpu;
    expect(device.limits.maxBufferSize).toBe(capabilities.limits.max_buffer_size);
    if (capabilities.architecture === "swiftshader") {
      expect(capabilities.software).toBe(true);
      expect(capabilities.limits.max_buffer_size).toBe(2 ** 30);
    }
  });

  test("an adapter can be named by a part of its name, in any case", async () => {
    const part = gpu.capabilities.adapter.slice(0, 6).toUpperCase();
    const named = await openGpu({ adapter: part });
    expect(named.capabilities.adapter).toBe(gpu.capabilities.adapter);
    named.close();
  });

  test("a software adapter can be asked for", async () => {
    const software = await openGpu({ adapter: "software" });
    expect(software.capabilities.software).toBe(true);
    software.close();
  });

  test("an unknown adapter is refused with the list of those there are", async () => {
    const refusal = openGpu({ adapter: "no such adapter" });
    await expect(refusal).rejects.toThrow(NoAdapterError);
    await expect(refusal).rejects.toThrow(/no such adapter.*There (is|are): .*SwiftShader/);
  });

  test("leaves the global scope and the Vulkan environment as they were", () => {
    expect("gpu" in (globalThis.navigator ?? {})).toBe(false);
    expect("GPUBufferUsage" in globalThis).toBe(false);
    expect(process.env.VK_ICD_FILENAMES).toBe(driversBefore);
  });

  test("closing is not a loss, destroying behind its back is", async () => {
    const closed = await openGpu({ robust: true });
    const broken = await openGpu({ robust: true });
    let lost = false;
    closed.lost.then(() => {
      lost = true;
    });
    closed.close();
    broken.device.destroy();
    await expect(broken.lost).resolves.toMatchObject({ reason: "destroyed" });
    expect(lost).toBe(false);
  });

  test("a closed device can be collected at once", async () => {
    setFlagsFromString("--expose-gc");
    const collect: () => void = runInNewContext("gc");
    for (let i = 0; i < 5; i++) {
      (await openGpu({ robust: true })).close();
      collect();
    }
    const again = await openGpu({ robust: true });
    await again.device.queue.onSubmittedWorkDone();
    again.close();
  });

  test("keeps the first error nobody caught", async () => {
    const other = await openGpu({ robust: true });
    expect(other.uncapturedError()).toBeNull();
    other.device.createBuffer({ size: 2 ** 40, usage: STORAGE });
    other.device.createBuffer({ size: 16, usage: 0 });
    await other.device.queue.onSubmittedWorkDone();
    expect(other.uncapturedError()).toMatch(/1099511627776/);
    other.close();
  });
});

describe("byte ledger", () => {
  test("accounts exactly, in steps of four bytes", () => {
    const ledger = new ByteLedger(gpu.device, 1000);
    const a = ledger.allocate("a", 10, STORAGE);
    expect(a.size).toBe(12);
    expect([ledger.used, ledger.peak]).toEqual([12, 12]);
    const b = ledger.allocate("b", 988, STORAGE);
    expect([ledger.used, ledger.peak]).toEqual([1000, 1000]);
    ledger.free(b);
    expect([ledger.used, ledger.peak]).toEqual([12, 1000]);
    ledger.free(a);
    expect(ledger.used).toBe(0);
    ledger.free(ledger.allocate("c", 4, STORAGE));
    expect([ledger.used, ledger.peak]).toEqual([0, 1000]);
  });

  test("refuses one byte more than the budget, and says what was wanted and what was left", () => {
    const ledger = new ByteLedger(gpu.device, 100);
    ledger.allocate("first", 60, STORAGE);
    let caught: unknown;
    try {
      ledger.allocate("adam_m.W_enc", 41, STORAGE);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(OutOfMemoryError);
    expect(caught).toMatchObject({ label: "adam_m.W_enc", wanted: 44, free: 40 });
    expect(ledger.used).toBe(60);
    expect(ledger.allocate("fits", 40, STORAGE).size).toBe(40);
  });

  test("refuses a buffer beyond the device's limit whatever the budget", () => {
    const ledger = new ByteLedger(gpu.device, Number.POSITIVE_INFINITY);
    expect(() => ledger.allocate("W_enc", gpu.device.limits.maxBufferSize + 4, STORAGE)).toThrow(
      BufferTooLargeError,
    );
    expect(ledger.used).toBe(0);
  });

  test.each([0, -4, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses %f bytes", (bytes) => {
    expect(() => gpu.ledger.allocate("x", bytes, STORAGE)).toThrow(RangeError);
  });

  test("refuses to free what it does not hold", () => {
    const ledger = new ByteLedger(gpu.device, 100);
    const buffer = ledger.allocate("once", 8, STORAGE);
    ledger.free(buffer);
    expect(() => ledger.free(buffer)).toThrow(/"once" is not held/);
    expect(ledger.used).toBe(0);
  });
});

describe("shaders and pipelines", () => {
  test("the list names exactly the files in shaders/", () => {
    const folder = new URL("../../shaders/", import.meta.url);
    const files = readdirSync(folder).filter((name) => name.endsWith(".wgsl"));
    expect(shaderNames.map((name) => `${name}.wgsl`).toSorted()).toEqual(files.toSorted());
  });

  const texts: Record<string, string> = {
    probe_copy: `
      import package::probe_fma::twice;
      import constants::START;
      @group(0) @binding(0) var<storage, read_write> out: array<u32>;
      @compute @workgroup_size(1) fn main() {
        @if(doubled) out[0] = twice(u32(START));
        @else out[0] = u32(START);
      }`,
    probe_fma: "fn twice(x: u32) -> u32 { return x + x; }",
  };

  /** A cache over texts of our own; shaders that are not given are empty. */
  function cacheOf(own: Record<string, string>): { cache: PipelineCache; reads: URL[] } {
    const reads: URL[] = [];
    const cache = new PipelineCache(gpu.device, async (url) => {
      reads.push(url);
      const name = url.pathname.match(/(\w+)\.wgsl$/)?.[1] ?? "";
      return own[name] ?? "";
    });
    return { cache, reads };
  }

  test("links imports, conditions and constants", async () => {
    const { cache } = cacheOf(texts);
    const out = gpu.ledger.allocate("out", 4, STORAGE | COPY_SRC);
    const results: (number | undefined)[] = [];
    for (const doubled of [false, true]) {
      const pipeline = await cache.compute({
        shader: "probe_copy",
        conditions: { doubled },
        constants: { START: 21 },
      });
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bind(gpu.device, pipeline, [out]));
      pass.dispatchWorkgroups(1);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      results.push((await readUint32(gpu, out))[0]);
    }
    expect(results).toEqual([21, 42]);
    gpu.ledger.free(out);
  });

  test("builds equal requests once, distinct ones apart, and reads the texts once", async () => {
    const { cache, reads } = cacheOf(texts);
    const [first, same, other] = await Promise.all([
      cache.compute({
        shader: "probe_copy",
        conditions: { doubled: true, x: false },
        constants: { START: 1 },
      }),
      cache.compute({
        constants: { START: 1 },
        conditions: { doubled: true },
        entryPoint: "main",
        shader: "probe_copy",
      }),
      cache.compute({ shader: "probe_copy", constants: { START: 1 } }),
    ]);
    expect(same).toBe(first);
    expect(other).not.toBe(first);
    expect(cache.size).toBe(2);
    expect(reads.length).toBe(shaderNames.length);
  });

  test("a compile error shows the reason and the linked WGSL with line numbers", async () => {
    const { cache } = cacheOf({
      probe_copy: "@compute @workgroup_size(1) fn main() {\n  let x: u32 = 1f;\n}",
    });
    const failure: unknown = await cache.compute({ shader: "probe_copy" }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ShaderError);
    expect(String(failure)).toMatch(/Shader "probe_copy": line 4:\d+: .*type 'u32'/);
    expect(String(failure)).toMatch(/^ {3}4 \| {3}let x: u32 = 1f;$/m);
  });

  test("an import that leads nowhere and a missing entry point are told", async () => {
    const { cache } = cacheOf({
      probe_copy: "import package::probe_fma::nothing;\n@compute @workgroup_size(1) fn main() { nothing(); }",
      probe_fma: "@compute @workgroup_size(1) fn other() {}",
    });
    await expect(cache.compute({ shader: "probe_copy" })).rejects.toThrow(/does not link[\s\S]*nothing/);
    await expect(cache.compute({ shader: "probe_fma" })).rejects.toThrow(/main[\s\S]*Linked WGSL/);
  });
});

describe("readback", () => {
  test("returns the bytes asked for and gives its staging memory back", async () => {
    const buffer = storage("numbers", new Float32Array([1, 2, 3, 4, 5]));
    const held = gpu.ledger.used;
    expect(await readFloat32(gpu, buffer)).toEqual(new Float32Array([1, 2, 3, 4, 5]));
    expect(await readFloat32(gpu, buffer, 8, 8)).toEqual(new Float32Array([3, 4]));
    expect(await readFloat32(gpu, buffer, 12)).toEqual(new Float32Array([4, 5]));
    expect((await readBuffer(gpu, buffer, 4, 0)).byteLength).toBe(0);
    expect(gpu.ledger.used).toBe(held);
    gpu.ledger.free(buffer);
  });

  test("reads more than one slice", async () => {
    const length = readbackSliceBytes / 4 + 1001;
    const data = Float32Array.from({ length }, (_, i) => i);
    const buffer = storage("large", data);
    const back = await readFloat32(gpu, buffer);
    expect(back.length).toBe(length);
    expect(Buffer.compare(Buffer.from(back.buffer), Buffer.from(data.buffer))).toBe(0);
    gpu.ledger.free(buffer);
  });
});

describe("profiler", () => {
  test("times every call, sums by label, and gives its memory back", async () => {
    const short = await fmaDispatch("short", 1);
    const long = await fmaDispatch("long", 512);
    const held = gpu.ledger.used;
    const list = [short.dispatch, long.dispatch, short.dispatch];
    await profile(gpu, list);
    const { clock, labels } = await profile(gpu, list, { repetitions: 3 });
    expect(clock).toBe(gpu.capabilities.timestamps ? "timestamps" : "wall-clock");
    expect(labels.map(({ label, calls, bytes, flops }) => [label, calls, bytes, flops])).toEqual([
      ["short", 2, 200, 14],
      ["long", 1, 100, 7],
    ]);
    for (const { ns } of labels) {
      expect(ns.length).toBe(3);
      for (const value of ns) expect(value).toBeGreaterThan(0);
    }
    expect(gpu.ledger.used).toBe(held);
    expect((await readFloat32(gpu, long.sums)).at(-1)).toBe(8 * 15 + 16 * 28);
    short.close();
    long.close();
  });

  test("what must come before is encoded before every run", async () => {
    const { dispatch, operands, sums, close } = await fmaDispatch("fma", 1);
    let runs = 0;
    const before = async (encoder: GPUCommandEncoder) => {
      await Promise.resolve();
      encoder.clearBuffer(operands);
      runs++;
    };
    await profile(gpu, [dispatch], { repetitions: 3, before });
    expect(runs).toBe(3);
    expect((await readFloat32(gpu, sums))[0]).toBe(0);
    close();
  });

  test("without timestamps it measures by the wall clock and says so", async () => {
    const { dispatch, close } = await fmaDispatch("fma", 64);
    const blind: Gpu = {
      device: gpu.device,
      ledger: gpu.ledger,
      pipelines: gpu.pipelines,
      lost: gpu.lost,
      uncapturedError: () => null,
      close() {
        throw new Error("not the owner");
      },
      capabilities: { ...gpu.capabilities, timestamps: false },
    };
    const start = performance.now();
    const { clock, labels } = await profile(blind, [dispatch], { repetitions: 5 });
    const elapsed = performance.now() - start;
    expect(clock).toBe("wall-clock");
    const total = (labels[0]?.ns ?? []).reduce((sum, ns) => sum + ns, 0) / 1e6;
    expect(total).toBeLessThan(elapsed);
    expect(total).toBeGreaterThan(elapsed / 10);
    close();
  });
});
