import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LiveSource, type LiveSourceOptions } from "../../gpu/data/live-source.ts";
import type { OpenSource } from "../../gpu/data/source.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { NonFiniteModelError } from "../../gpu/lm/language-model.ts";
import type { WeightSource } from "../../gpu/lm/weights.ts";
import { createTrainer } from "../../gpu/sae/trainer.ts";
import { createTrainerGroup } from "../../gpu/sae/trainer-group.ts";
import { ArrayTokens } from "../reference/array-tokens.ts";
import { randomTokens } from "../reference/lm/random-model.ts";
import { forward } from "../reference/lm/transformer.ts";
import { type Variant, variantLength, variants } from "../reference/lm/variants.ts";
import { weightsOf } from "./lm-models.ts";
import { configure } from "./training.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

const n_sequences = 9;
const heldOut = 2;
const hooks = ["blocks.1.hook_resid_post", "blocks.0.attn.hook_z"];

function variant(name: string): Variant {
  return variants().find((one) => one.name === name)!;
}

/** A first token that is special, and padding at the end of two sequences. */
const kinds = Array.from({ length: n_sequences * variantLength }, (_, at) => {
  const [sequence, position] = [Math.floor(at / variantLength), at % variantLength];
  if (position === 0) return 1;
  return sequence % 4 === 3 && position >= variantLength - 5 ? 2 : 0;
});

function sequencesOf(model: Variant): number[][] {
  return Array.from({ length: n_sequences }, (_, i) => randomTokens(model.config, variantLength, 20 + i));
}

function sourceOf(model: Variant, overrides: Partial<LiveSourceOptions> = {}): LiveSource {
  return new LiveSource({
    spec: describeModel(model.config),
    weights: weightsOf(model),
    tokens: new ArrayTokens(sequencesOf(model), kinds),
    hooks,
    seed: 3,
    held_out_sequences: heldOut,
    bufferTokens: 3 * variantLength,
    n_sequences_together: 2,
    ...overrides,
  });
}

/** Rows of the hook points side by side, by sequence and position: what is text of the sequences in the range. */
function expectedRows(model: Variant, first: number, count: number): Float64Array[] {
  const rows: Float64Array[] = [];
  const passes = forward(model, sequencesOf(model));
  for (let sequence = first; sequence < first + count; sequence++) {
    for (let position = 0; position < variantLength; position++) {
      const at = sequence * variantLength + position;
      if (kinds[at] !== 0) continue;
      const parts = hooks.map((hook) => {
        const { shape, data } = passes.hooks.get(hook)!;
        const width = shape.at(-1)!;
        return data.subarray(at * width, (at + 1) * width);
      });
      rows.push(Float64Array.from(parts.flatMap((part) => [...part])));
    }
  }
  return rows;
}

async function batchOf(
  source: OpenSource,
  d_in: number,
  stream: "training" | "evaluation",
  batch: number,
  rows: number,
): Promise<Float32Array[]> {
  const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;
  const target = gpu.ledger.allocate("target", 4 * rows * d_in, STORAGE | COPY_SRC | COPY_DST);
  try {
    await source.ready(stream, batch, rows);
    const encoder = gpu.device.createCommandEncoder();
    source.encodeBatch(encoder, target, stream, batch, rows);
    gpu.device.queue.submit([encoder.finish()]);
    const values = await readFloat32(gpu, target);
    return Array.from({ length: rows }, (_, row) => values.subarray(row * d_in, (row + 1) * d_in));
  } finally {
    gpu.ledger.free(target);
  }
}

/** Which of the rows each is; −1 for none of them. */
function found(rows: readonly ArrayLike<number>[], among: readonly ArrayLike<number>[]): number[] {
  return rows.map((row) =>
    among.findIndex((other) => {
      let [difference, size] = [0, 0];
      for (let c = 0; c < other.length; c++) {
        difference += (row[c]! - other[c]!) ** 2;
        size += other[c]! ** 2;
      }
      return difference < 1e-8 * size;
    }),
  );
}

describe.each(["gpt2", "gpt_neox", "gemma2"])("of a %s", (name) => {
  const model = variants().find((one) => one.name.startsWith(name))!;

  test("rows are the reference's, each once per epoch, of text that is not held out", async () => {
    const used = gpu.ledger.used;
    const source = sourceOf(model);
    const expected = expectedRows(model, 0, n_sequences - heldOut);
    const opened = await source.open(gpu, 10);
    expect(gpu.ledger.used - used).toBe(source.gpuBytes(10));
    const epoch: Float32Array[] = [];
    for (let batch = 0; batch * 10 < 2 * expected.length; batch++) {
      epoch.push(...(await batchOf(opened, source.d_in, "training", batch, 10)));
    }
    const order = found(epoch, expected);
    expect(order).not.toContain(-1);
    const first = order.slice(0, expected.length);
    const second = order.slice(expected.length, 2 * expected.length);
    expect(new Set(first).size).toBe(expected.length);
    expect(new Set(second).size).toBe(expected.length);
    expect(second).not.toEqual(first);
    opened.close();
    expect(gpu.ledger.used).toBe(used);
  });

  test("evaluation takes from the held-out text, and does not disturb training", async () => {
    const source = sourceOf(model);
    const expected = expectedRows(model, n_sequences - heldOut, heldOut);
    const opened = await source.open(gpu, 7);
    const before = await batchOf(opened, source.d_in, "training", 3, 7);
    const rows = await batchOf(opened, source.d_in, "evaluation", 0, 7);
    expect(found(rows, expected)).not.toContain(-1);
    expect(await batchOf(opened, source.d_in, "training", 3, 7)).toEqual(before);
    opened.close();
  });
});

test("a source opened anew gives any batch as the one before did", async () => {
  const source = sourceOf(variant("gpt2"));
  const first = await source.open(gpu, 10);
  const all: Float32Array[][] = [];
  for (let batch = 0; batch < 14; batch++) all.push(await batchOf(first, source.d_in, "training", batch, 10));
  first.close();
  const second = await source.open(gpu, 10);
  for (const batch of [9, 2, 13]) {
    expect(await batchOf(second, source.d_in, "training", batch, 10)).toEqual(all[batch]);
  }
  second.close();
});

test("a buffer that holds everything is filled once", async () => {
  const model = variant("gpt2");
  let reads = 0;
  const tokens = new ArrayTokens(sequencesOf(model), kinds);
  const counting = {
    n_sequences,
    length: variantLength,
    kinds: (first: number, count: number) => tokens.kinds(first, count),
    read: (first: number, count: number) => {
      reads += count;
      return tokens.read(first, count);
    },
  };
  const source = sourceOf(model, { tokens: counting, bufferTokens: n_sequences * variantLength });
  const opened = await source.open(gpu, 50);
  for (let batch = 0; batch < 6; batch++) await batchOf(opened, source.d_in, "training", batch, 50);
  expect(reads).toBe(n_sequences - heldOut);
  opened.close();
});

test("a model with a weight that is not a number is found out", async () => {
  const model = variant("gpt2");
  const whole = weightsOf(model);
  const broken: WeightSource = {
    ...whole,
    rows: async (name, first, count) => {
      const rows = await whole.rows(name, first, count);
      if (name.includes("h.0.mlp.c_fc.weight")) rows[0] = Number.NaN;
      return rows;
    },
  };
  const opened = await sourceOf(model, { weights: broken }).open(gpu, 10);
  await expect(opened.ready("training", 0, 10)).rejects.toThrow(NonFiniteModelError);
  opened.close();
});

test("nothing but padding cannot be trained on", async () => {
  const model = variant("gpt2");
  const used = gpu.ledger.used;
  const tokens = new ArrayTokens(sequencesOf(model), new Array(kinds.length).fill(2));
  await expect(sourceOf(model, { tokens }).open(gpu, 10)).rejects.toThrow(/None of the tokens/);
  expect(gpu.ledger.used).toBe(used);
});

test("a run that goes on from a state ends as the one that was not interrupted", async () => {
  const model = variant("gpt2");
  const source = () => sourceOf(model, { hooks: [hooks[0]!] });
  const config = configure({ d_in: source().d_in, d_sae: 64, k: 4, train_batch_size_tokens: 16 });
  const take = async (steps: number, resume?: Awaited<ReturnType<typeof half.snapshot>>) => {
    const trainer = await createTrainer({ gpu, config, source: source(), ...(resume && { resume }) });
    for (let step = 0; step < steps; step++) await trainer.advance();
    const state = await trainer.snapshot();
    trainer.close();
    return state;
  };
  const half = await createTrainer({ gpu, config, source: source() });
  for (let step = 0; step < 10; step++) await half.advance();
  const state = await half.snapshot();
  half.close();
  expect(await take(10, state)).toEqual(await take(20));
});

test("several SAEs on hook points of one pass are those that each would be alone", async () => {
  const model = variant("gpt2");
  const widths = hooks.map((hook) => sourceOf(model, { hooks: [hook] }).d_in);
  const configs = widths.map((d_in, seed) =>
    configure({ d_in, d_sae: 32, k: 3, seed, train_batch_size_tokens: 16 }),
  );
  const used = gpu.ledger.used;
  const group = await createTrainerGroup({
    gpu,
    configs,
    columns: [
      [0, widths[0]!],
      [widths[0]!, widths[1]!],
    ],
    source: sourceOf(model),
  });
  while (group.step < 8) await group.advance();
  for (const [index, { trainer }] of group.members.entries()) {
    const alone = await createTrainer({
      gpu,
      config: configs[index]!,
      source: sourceOf(model, { hooks: [hooks[index]!] }),
    });
    while (alone.step < 8) await alone.advance();
    expect(await trainer.snapshot()).toEqual(await alone.snapshot());
    expect(await trainer.evaluate(32)).toEqual(await alone.evaluate(32));
    alone.close();
  }
  group.close();
  expect(gpu.ledger.used).toBe(used);
});
