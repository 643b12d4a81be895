import { expect, test } from "vitest";
import { trainingConfigSchema } from "../../gpu/sae/config.ts";
import { learningRate } from "../../gpu/sae/schedule.ts";

const config = (lr_warm_up_steps: number, lr_decay_steps: number) =>
  trainingConfigSchema.parse({
    d_in: 4,
    d_sae: 8,
    k: 1,
    lr: 0.5,
    train_batch_size_tokens: 10,
    training_tokens: 100,
    lr_warm_up_steps,
    lr_decay_steps,
  });
const rates = (warmUp: number, decay: number) =>
  Array.from({ length: 10 }, (_, step) => learningRate(config(warmUp, decay), step) / 0.5);

test("without warm-up and decay the rate is constant", () => {
  expect(rates(0, 0)).toEqual(new Array(10).fill(1));
});

test("warm-up rises from 1/W to the whole rate at step W − 1", () => {
  expect(rates(4, 0)).toEqual([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]);
});

test("decay falls over the last D steps, and would be zero at the step after the last", () => {
  expect(rates(0, 5)).toEqual([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]);
  expect(learningRate(config(0, 5), 10)).toBe(0);
});

test("the two may meet", () => {
  expect(rates(5, 5)).toEqual([0.2, 0.4, 0.6, 0.8, 1, 1, 0.8, 0.6, 0.4, 0.2]);
});
