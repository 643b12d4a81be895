import { describe, expect, test } from "vitest";
import { float32FromF16 } from "../../gpu/data/float16.ts";
import { float16Bits } from "../../gpu/data/to-float16.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { describeModel, familyWeights } from "../../gpu/lm/families/index.ts";
import { findWeight, uploadWeight } from "../../gpu/lm/load-weights.ts";
import { packHalves, packRows } from "../../gpu/lm/pack-weights.ts";
import { type Precision, scaleBytes, weightBytes } from "../../gpu/lm/precision.ts";
import { buildProgram } from "../../gpu/lm/program.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { weightsOf } from "../gpu/lm-models.ts";
import { toHalf } from "../reference/half.ts";
import { variants } from "../reference/lm/variants.ts";

const valuesOf = (halves: Uint16Array<ArrayBuffer>) => float32FromF16(new Uint8Array(halves.buffer));

describe("f16", () => {
  test("every f16 keeps its bits, both signs", () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((b) => (b & 0x7fff) <= 0x7c00);
    expect(float16Bits(valuesOf(bits))).toEqual(bits);
  });

  test("between two neighbours the nearer one is taken, and half-way the even one", () => {
    const numbers = valuesOf(Uint16Array.from({ length: 0x7c00 }, (_, bits) => bits));
    const around: number[] = [];
    for (let bits = 0; bits + 1 < numbers.length; bits++) {
      const middle = (numbers[bits]! + numbers[bits + 1]!) / 2;
      const sliver = middle * 2 ** -23;
      around.push(middle, middle - sliver, middle + sliver, -middle, -middle - sliver);
    }
    const values = Float32Array.from(around);
    expect(valuesOf(float16Bits(values))).toEqual(values.map(toHalf));
  });

  test("numbers of every size, NaN and the infinities", () => {
    const random = new RandomStream(2);
    const values = Float32Array.from(
      { length: 50_000 },
      () => random.normal() * 2 ** (40 * random.uniform() - 25),
    );
    values.set([
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      65_519.99,
      65_520,
      1e-45,
      -0,
    ]);
    expect(valuesOf(float16Bits(values))).toEqual(values.map(toHalf));
  });

  test("the first number beyond it is found", () => {
    expect(packHalves(Float32Array.of(1, -65_504, 65_519)).beyond).toBe(-1);
    expect(packHalves(Float32Array.of(1, 2, -65_520, 1e9)).beyond).toBe(2);
  });
});

describe("int8", () => {
  test("is off by half a step of its row at most, whatever the row's size", () => {
    const random = new RandomStream(3);
    const width = 33;
    const sizes = [1, 1e-6, 1e30, 1e-30, 0.37, 3e38];
    const values = Float32Array.from({ length: sizes.length * width }, (_, i) => {
      return (2 * random.uniform() - 1) * sizes[Math.floor(i / width)]!;
    });
    const { numbers, scales } = packRows(values, width);
    sizes.forEach((_, row) => {
      const own = values.subarray(row * width, (row + 1) * width);
      const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(scales[row]).toBe(Math.fround(largest / 127));
      own.forEach((value, i) => {
        const error = Math.abs(scales[row]! * numbers[row * width + i]! - value);
        expect(error).toBeLessThanOrEqual((largest / 254) * (1 + 2 ** -15));
      });
      expect(Math.max(...numbers.subarray(row * width, (row + 1) * width).map(Math.abs))).toBe(127);
    });
  });

  test("rows of zeros and of what has no scale in f32 are zeros", () => {
    expect(packRows(Float32Array.of(0, 0, -0, 1e-45), 2)).toEqual({
      numbers: new Int8Array(4),
      scales: new Float32Array(2),
    });
  });
});

async function uploaded(variant: string, name: string, precision: Precision, sliceBytes: number) {
  const model = variants().find((one) => one.name === variant)!;
  const spec = describeModel(model.config);
  const hooks = ["blocks.1.hook_resid_post"];
  const plan = buildProgram(spec, { hooks, logits: true, pieceTokens: 16 }).weights.get(name)!;
  const targets = {
    buffer: new Uint8Array(weightBytes(plan, precision)),
    scales: new Uint8Array(scaleBytes(plan, precision)),
  };
  const queue = {
    writeBuffer(to: keyof typeof targets, offset: number, data: Float32Array) {
      expect(offset % 4).toBe(0);
      expect(data.byteLength % 4).toBe(0);
      targets[to].set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    },
    submit: () => null,
    onSubmittedWorkDone: () => Promise.resolve(),
  };
  const source = weightsOf(model);
  await uploadWeight(
    { device: { queue } } as unknown as Gpu,
    source,
    findWeight(source, familyWeights(spec), plan),
    { buffer: "buffer" as unknown as GPUBuffer, precision, scales: "scales" as unknown as GPUBuffer },
    sliceBytes,
  );
  return targets;
}

describe.each(["f16", "int8"] as const)("%s", (precision) => {
  test.each([
    ["gpt2", "blocks.1.W_K"],
    ["gpt2", "W_E from 16"],
    ["gpt_neox sequential, d_head 10", "blocks.0.W_V"],
    ["phi3, window 6", "blocks.1.W_gate"],
    ["gemma2", "blocks.1.W_O"],
  ])("slices of any size give the same bytes: %s, %s", async (variant, name) => {
    const whole = await uploaded(variant, name, precision, 2 ** 20);
    expect(whole.buffer.some((byte) => byte !== 0)).toBe(true);
    expect(whole.scales.some((byte) => byte !== 0)).toBe(precision === "int8");
    for (const sliceBytes of [1, 300]) {
      expect(await uploaded(variant, name, precision, sliceBytes)).toEqual(whole);
    }
  });

  test.each(["blocks.1.b_K", "W_pos", "ln_final_w"])("%s stays in f32", async (name) => {
    expect(await uploaded("gpt2", name, precision, 300)).toEqual(await uploaded("gpt2", name, "f32", 300));
  });
});
