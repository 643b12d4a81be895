import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LiveRows, liveRowsBytes } from "../../gpu/data/live-rows.ts";
import { LiveSource, type LiveSourceOptions } from "../../gpu/data/live-source.ts";
import type { BatchStream } from "../../gpu/data/source.ts";
import { tokenKind } from "../../gpu/data/tokens.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { UnknownHookError } from "../../gpu/lm/hook-points.ts";
import { NonFiniteModelError } from "../../gpu/lm/language-model.ts";
import { createTrainer } from "../../gpu/sae/trainer.ts";
import { forward } from "../reference/lm/transformer.ts";
import { variants } from "../reference/lm/variants.ts";
import { relativeError, weightsOf } from "./lm-models.ts";
import { packedTokens } from "./lm-tokens.ts";
import { configure } from "./training.ts";

const model = variants().find(({ name }) => name === "gpt2")!;
const spec = describeModel(model.config);
const length = 17;
const n_sequences = 14;
const held_out_sequences = 4;
const { tokens, ids, kinds } = packedTokens(model.config, n_sequences, length);
const hooks = ["blocks.1.hook_resid_pre", "blocks.0.attn.hook_z", "blocks.0.mlp.hook_post"];
const d_in = 18 + 18 + 72;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterAll(() => {
  expect(gpu.uncapturedError()).toBeNull();
  gpu.close();
});

function source(given: Partial<LiveSourceOptions> = {}): LiveSource {
  const weights = weightsOf(model);
  return new LiveSource({
    spec,
    weights,
    tokens,
    hooks,
    seed: 5,
    held_out_sequences,
    n_sequences_together: 3,
    ...given,
  });
}

/** Text rows of some sequences by the float64 reference, hook points side by side. */
function referenceRows(first: number, count: number): Float64Array[] {
  const run = forward(model, ids.slice(first, first + count));
  const rows: Float64Array[] = [];
  for (let at = 0; at < count * length; at++) {
    if (kinds.flat()[first * length + at] !== tokenKind.text) continue;
    rows.push(
      Float64Array.from(
        hooks.flatMap((hook) => {
          const { shape, data } = run.hooks.get(hook)!;
          const width = shape[2]!;
          return [...data.subarray(at * width, (at + 1) * width)];
        }),
      ),
    );
  }
  return rows;
}

const trained = referenceRows(0, n_sequences - held_out_sequences);
const heldOut = referenceRows(n_sequences - held_out_sequences, held_out_sequences);

/** Number of the reference row that each row is. */
function numbersOf(rows: Float32Array, known: readonly Float64Array[]): number[] {
  return Array.from({ length: rows.length / d_in }, (_, i) => {
    const row = rows.subarray(i * d_in, (i + 1) * d_in);
    const found = known.findIndex((one) => relativeError(row, one) < 2e-5);
    expect(found, `row ${i} is none of the reference's`).toBeGreaterThanOrEqual(0);
    return found;
  });
}

async function batches(
  live: LiveSource,
  stream: BatchStream,
  rows: number,
  numbers: number[],
  maxRows = rows,
): Promise<Float32Array[]> {
  const opened = await live.open(gpu, maxRows);
  const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;
  const target = gpu.ledger.allocate("target", 4 * rows * d_in, STORAGE | COPY_SRC | COPY_DST);
  try {
    const read: Float32Array[] = [];
    for (const number of numbers) {
      await opened.ready(stream, number, rows);
      const encoder = gpu.device.createCommandEncoder();
      opened.encodeBatch(encoder, target, stream, number, rows);
      gpu.device.queue.submit([encoder.finish()]);
      read.push(await readFloat32(gpu, target));
    }
    return read;
  } finally {
    opened.close();
    gpu.ledger.free(target);
  }
}

const joined = (parts: Float32Array[]) => Float32Array.from(parts.flatMap((part) => [...part]));

describe.each([
  { name: "in windows", bufferTokens: 40 },
  { name: "all in one window", bufferTokens: undefined },
])("rows $name", ({ bufferTokens }) => {
  const given = bufferTokens === undefined ? {} : { bufferTokens };

  test("are the reference's text tokens, each once per epoch", async () => {
    const rows = 8;
    const n = trained.length;
    const count = Math.ceil((2 * n) / rows);
    const numbers = Array.from({ length: count }, (_, i) => i);
    const met = numbersOf(joined(await batches(source(given), "training", rows, numbers)), trained);
    const all = trained.map((_, i) => i);
    expect(met.slice(0, n).toSorted((a, b) => a - b)).toEqual(all);
    expect(met.slice(n, 2 * n).toSorted((a, b) => a - b)).toEqual(all);
    expect(met.slice(0, n)).not.toEqual(all);
    expect(met.slice(0, n)).not.toEqual(met.slice(n, 2 * n));
  });

  test("are the same bits from whichever batch one begins, and however many sequences a pass takes", async () => {
    const numbers = [0, 1, 2, 3, 4, 5, 6, 7];
    const whole = await batches(source(given), "training", 8, numbers);
    for (const begun of [3, 6]) {
      expect(await batches(source(given), "training", 8, [begun])).toEqual([whole[begun]]);
    }
    expect(await batches(source(given), "training", 8, [7, 0, 4])).toEqual([whole[7], whole[0], whole[4]]);
    const single = source({ ...given, n_sequences_together: 1 });
    expect(await batches(single, "training", 8, numbers)).toEqual(whole);
    const other = await batches(source({ ...given, seed: 6 }), "training", 8, numbers);
    expect(other).not.toEqual(whole);
  });

  test("for evaluation are the held-out sequences', and leave the training's window as it is", async () => {
    const rows = 9;
    const n = heldOut.length;
    const numbers = Array.from({ length: Math.ceil(n / rows) }, (_, i) => i);
    const met = numbersOf(joined(await batches(source(given), "evaluation", rows, numbers)), heldOut);
    expect(met.slice(0, n).toSorted((a, b) => a - b)).toEqual(heldOut.map((_, i) => i));
    const alone = await batches(source(given), "training", 8, [0, 1]);
    const live = source(given);
    const opened = await live.open(gpu, 8);
    const target = gpu.ledger.allocate(
      "target",
      4 * 8 * d_in,
      bufferUsage.COPY_SRC | bufferUsage.COPY_DST | bufferUsage.STORAGE,
    );
    const take = async (stream: BatchStream, number: number) => {
      await opened.ready(stream, number, 8);
      const encoder = gpu.device.createCommandEncoder();
      opened.encodeBatch(encoder, target, stream, number, 8);
      gpu.device.queue.submit([encoder.finish()]);
      return readFloat32(gpu, target);
    };
    expect(await take("training", 0)).toEqual(alone[0]);
    await take("evaluation", 3);
    expect(await take("training", 1)).toEqual(alone[1]);
    opened.close();
    gpu.ledger.free(target);
  });

  test("take just the memory that was announced", async () => {
    const live = source(given);
    const used = gpu.ledger.used;
    const opened = await live.open(gpu, 8);
    expect(gpu.ledger.used - used).toBe(live.gpuBytes(8));
    expect(live.n_tokens).toBe(trained.length);
    opened.close();
    expect(gpu.ledger.used).toBe(used);
  });
});

test("rows of a window in several buffers are those of one", async () => {
  const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;
  const width = 6;
  const passRows = 5;
  const hook = gpu.ledger.allocate("hook", 4 * passRows * 8, STORAGE | COPY_DST);
  const target = gpu.ledger.allocate("target", 4 * 12 * width, STORAGE | COPY_SRC | COPY_DST);
  const size = { d_in: width, hooks: 1, windowRows: 11, batchRows: 12, passRows, pieceBytes: 4 * width * 4 };
  const live = await LiveRows.open(gpu, size, [{ buffer: hook, layout: { groups: 2, size: 3 } }]);
  expect(liveRowsBytes(size)).toBeGreaterThan(liveRowsBytes({ ...size, pieceBytes: 4096 }));
  const put: number[][] = [];
  for (let slot = 0; slot < 11; slot += 4) {
    const pass = Array.from({ length: passRows }, (_, row) =>
      [1, 2, 3, 4, 5, 6].map((c) => 100 * slot + 10 * row + c),
    );
    const padded = pass.flatMap((row) => [...row.slice(0, 3), 0, ...row.slice(3), 0]);
    gpu.device.queue.writeBuffer(hook, 0, Float32Array.from(padded));
    const rows = [4, 1, 3, 0].slice(0, 11 - slot);
    live.putInWindow(slot, Uint32Array.from(rows));
    put.push(...rows.map((row) => pass[row]!));
  }
  const slots = [10, 3, 4, 0, 7, 8, 2, 9, 5, 1, 6, 4];
  const encoder = gpu.device.createCommandEncoder();
  live.takeFromWindow(encoder, target, Uint32Array.from(slots));
  gpu.device.queue.submit([encoder.finish()]);
  expect([...(await readFloat32(gpu, target))]).toEqual(slots.flatMap((slot) => put[slot]!));
  expect(await live.finite()).toBe(true);
  live.close();
  gpu.ledger.free(hook);
  gpu.ledger.free(target);
});

test("without held-out sequences evaluation takes all", async () => {
  const all = [...trained, ...heldOut];
  const live = source({ held_out_sequences: 0 });
  const rows = Math.ceil(all.length / 4);
  const met = numbersOf(joined(await batches(live, "evaluation", rows, [0, 1, 2, 3])), all);
  expect(new Set(met).size).toBe(all.length);
});

test("a run that goes on from a state trains on the same rows and ends with the same bits", async () => {
  const config = configure({ d_in, train_batch_size_tokens: 16, training_tokens: 20 * 16, d_sae: 40 });
  const given = { bufferTokens: 50 };
  const whole = await createTrainer({ gpu, config, source: source(given) });
  for (let step = 0; step < 10; step++) await whole.advance();
  const middle = await whole.snapshot();
  while (whole.step < whole.totalSteps) await whole.advance();
  await whole.drain();
  const expected = await whole.snapshot();
  whole.close();
  const resumed = await createTrainer({ gpu, config, source: source(given), resume: middle });
  while (resumed.step < resumed.totalSteps) await resumed.advance();
  await resumed.drain();
  expect(await resumed.snapshot()).toEqual(expected);
  const evaluation = await resumed.evaluate(32);
  expect(evaluation.tokens).toBe(32);
  expect(evaluation.fvu).toBeGreaterThan(0);
  resumed.close();
  expect(expected.tensors.W_enc).not.toEqual(middle.tensors.W_enc);
});

describe("refused", () => {
  test("are hook points that are not there, and numbers that do not fit", () => {
    expect(() => source({ hooks: ["blocks.9.hook_resid_pre"] })).toThrow(UnknownHookError);
    expect(() => source({ hooks: [] })).toThrow(RangeError);
    expect(() => source({ held_out_sequences: n_sequences })).toThrow(/held out/);
    expect(() => source({ bufferTokens: 0 })).toThrow(RangeError);
    expect(() => source({ n_sequences_together: 1.5 })).toThrow(RangeError);
    expect(() => source({ tokens: { ...tokens, length: 25 } })).toThrow(/1 to 24 tokens/);
  });

  test("are windows smaller than a batch, and sets without text", async () => {
    const used = gpu.ledger.used;
    await expect(source({ bufferTokens: 20 }).open(gpu, 21)).rejects.toThrow(/does not hold a batch/);
    const silent = {
      ...tokens,
      kinds: async (_: number, count: number) => new Uint8Array(count * length).fill(1),
    };
    await expect(source({ tokens: silent }).open(gpu, 8)).rejects.toThrow(/no text/);
    expect(gpu.ledger.used).toBe(used);
  });

  test("is a model whose activations are not finite", async () => {
    const name = "transformer.h.0.attn.c_proj.weight";
    const tensor = model.tensors.get(name)!;
    const data = Float32Array.from(tensor.data);
    data[5] = Number.NaN;
    const damaged = { ...model, tensors: new Map([...model.tensors, [name, { ...tensor, data }]]) };
    const live = source({ weights: weightsOf(damaged) });
    await expect(batches(live, "training", 8, [0])).rejects.toThrow(NonFiniteModelError);
    const embedding = "transformer.wte.weight";
    const table = Float32Array.from(model.tensors.get(embedding)!.data).fill(Number.POSITIVE_INFINITY);
    const lost = {
      ...model,
      tensors: new Map([...model.tensors, [embedding, { ...model.tensors.get(embedding)!, data: table }]]),
    };
    const embedded = source({ weights: weightsOf(lost), hooks: ["hook_embed"] });
    await expect(embedded.open(gpu, 8).then((opened) => opened.ready("training", 0, 8))).rejects.toThrow(
      NonFiniteModelError,
    );
  });
});
