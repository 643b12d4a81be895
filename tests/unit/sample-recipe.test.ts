import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bestColumn } from "../../bench/feature-scores.ts";
import { labelled } from "../../server/sample/grammar/grammar.ts";
import { NGrams } from "../../server/sample/ngram.ts";
import type { TrainingRecipe } from "../../server/sample/recipe.ts";
import { labelledStream, labelNames } from "../../server/sample/token-labels.ts";
import { Encoder } from "../../server/sample/tokenizer/encode.ts";
import { tokenizerFiles } from "../../server/sample/tokenizer/files.ts";
import { TokenStream } from "../../server/sample/tokenizer/stream.ts";
import { trainVocabulary } from "../../server/sample/tokenizer/train.ts";
import { Adam } from "../../server/sample/training/adam.ts";
import { rateAt } from "../../server/sample/training/schedule.ts";
import { train } from "../../server/sample/training/train.ts";

const small: TrainingRecipe = {
  training_seed: 5,
  parameter_seed: 6,
  shape: { d_model: 16, n_layers: 1, n_heads: 2, d_mlp: 24, d_vocab: 320, n_ctx: 16 },
  threads: 2,
  windows_per_thread: 2,
  adam: { beta1: 0.9, beta2: 0.98, weight_decay: 0.1, clip: 1 },
  schedule: [{ lr: 1e-2, steps: 60, warm_up_steps: 5, cool_down_steps: 0 }],
  checkpoint_every: 30,
};
const texts = labelled(5, 60).map(({ text }) => text);
const encoder = new Encoder(tokenizerFiles(trainVocabulary(texts, small.shape.d_vocab), small.shape.n_ctx));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "facet-sample-"));
});
afterAll(() => rm(folder, { recursive: true }));

// Threads start slowly on a busy machine.
const patience = { timeout: 60_000 };

test("training lowers the loss, and goes on from a checkpoint to the same bits", patience, async () => {
  const lines: string[] = [];
  const whole = await train(small, encoder, path.join(folder, "whole"), (line) => lines.push(line));
  const losses = lines.map((line) => Number(/loss ([\d.]+)/.exec(line)![1]));
  expect(losses).toHaveLength(3);
  expect(losses[0]).toBeGreaterThan(losses[2]! + 0.5);
  const halves = path.join(folder, "halves");
  const half = { ...small, schedule: [{ ...small.schedule[0]!, steps: 30 }] };
  const before = await train(half, encoder, halves, () => undefined);
  expect(before).not.toEqual(whole);
  expect(await train(small, encoder, halves, () => undefined)).toEqual(whole);
});

test("a checkpoint of another shape is refused", patience, async () => {
  const file = path.join(folder, "shape");
  const short = {
    ...small,
    threads: 1,
    schedule: [{ ...small.schedule[0]!, steps: 1 }],
    checkpoint_every: 1,
  };
  await train(short, encoder, file, () => undefined);
  const wider = { ...short, shape: { ...short.shape, d_mlp: 32 } };
  await expect(train(wider, encoder, file, () => undefined)).rejects.toThrow("another shape");
});

test("the rate warms up, stays, falls to nothing, and rises again", () => {
  const cycle = { lr: 2, steps: 100, warm_up_steps: 10, cool_down_steps: 40 };
  const schedule = [cycle, { ...cycle, lr: 4 }];
  const rates = [1, 5, 10, 60, 80, 100, 105, 180].map((step) => rateAt(step, schedule));
  expect(rates).toEqual([0.2, 1, 2, 2, 1, 0, 2, 2]);
  expect(() => rateAt(201, schedule)).toThrow(RangeError);
});

test("a first step of Adam moves every parameter by the rate against its gradient, and matrices decay", () => {
  const { shape, adam } = small;
  const optimizer = new Adam(shape, adam);
  const count = optimizer.first.length;
  const values = new Float32Array(count).fill(1);
  const norm = optimizer.step(values, new Float32Array(count).fill(-3), 1, 0.01);
  expect(norm).toBeCloseTo(3 * Math.sqrt(count), 1);
  // wte comes first; the last norm's bias last.
  expect(values[0]).toBeCloseTo(1 - 0.01 * 0.1 + 0.01, 5);
  expect(values.at(-1)).toBeCloseTo(1.01, 5);
});

test("a stream goes on from its place, and every second window begins with the text's end", () => {
  const stream = new TokenStream(encoder, 5);
  const tokens = stream.next(300);
  expect(tokens).toEqual(labelledStream(encoder, 5, 300).ids);
  const again = new TokenStream(encoder, 5, stream.place);
  expect(again.next(50)).toEqual(stream.next(50));
  const windows = new TokenStream(encoder, 5).windows(4, 10);
  expect([...windows]).toEqual([
    ...tokens.slice(0, 10),
    0,
    ...tokens.slice(10, 19),
    ...tokens.slice(19, 29),
    0,
    ...tokens.slice(29, 38),
  ]);
});

test("tokens have the labels of their last byte", () => {
  const { ids, labels } = labelledStream(encoder, 5, 2_000);
  const inside = labelNames.indexOf("inside.brackets");
  let open = false;
  ids.forEach((id, at) => {
    const text = encoder.text(id);
    if (text.endsWith(")") || id === 0) open = false;
    if (!text.includes(")")) expect(labels[at]!.includes(inside), `${at}: ${text}`).toBe(open);
    if (text.endsWith("(")) open = true;
  });
});

test("counts give probabilities that add up to one", () => {
  const counts = new NGrams(3, 5);
  counts.add([0, 1, 2, 0, 1, 3, 0, 1, 2]);
  for (const context of [
    [0, 1],
    [4, 4],
    [1, 2],
  ]) {
    const sums = [0, 0, 0];
    for (let token = 0; token < 5; token++) {
      counts.losses([...context, token], 2).forEach((loss, order) => {
        sums[order]! += Math.exp(-loss);
      });
    }
    for (const sum of sums) expect(sum).toBeCloseTo(1, 12);
  }
  const [unigram, , trigram] = counts.losses([0, 1, 2], 2) as [number, number, number];
  expect(trigram).toBeLessThan(unigram);
});

test("the column that tells a label best is chosen on one half and measured on the other", () => {
  const holds = Uint8Array.from([1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0]);
  const columns = [
    { rows: [1, 3, 7], values: [1, 1, 1] },
    // Fires weakly on a row without the label, which the threshold leaves out; misses row 8 of the second half.
    { rows: [0, 2, 3, 6, 9], values: [4, 5, 1, 3, 0.1] },
  ];
  const best = bestColumn(columns, holds, 6)!;
  expect(best.column).toBe(1);
  expect(best).toMatchObject({ precision: 1, recall: 0.5 });
  expect(best.f1).toBeCloseTo(2 / 3, 12);
  // Of 2 x 4 pairs: row 6 is above all four; row 8, at nothing, is below row 9 and equal to three.
  expect(best.auc).toBeCloseTo((4 + 1.5) / 8, 12);
});
