import { afterAll, beforeAll, expect, it } from "vitest";
import { sampleSynthetic, sampleTraining } from "../../gpu/data/sample-run.ts";
import { SyntheticSource } from "../../gpu/data/synthetic.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import { trainingConfigSchema } from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";
import { createTrainer, type StepMetrics } from "../../gpu/sae/trainer.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu({ adapter: "software", robust: true });
});
afterAll(() => gpu.close());

it("the sample run is consistent", () => {
  expect(configFaults(sampleTraining)).toEqual([]);
  expect(sampleTraining.d_in).toBe(sampleSynthetic.d_in);
});

it("a fifth of the sample's steps at half its batch already recover the true features", async () => {
  const steps = 300;
  const config = trainingConfigSchema.parse({
    ...sampleTraining,
    train_batch_size_tokens: 1_024,
    training_tokens: steps * 1_024,
    lr: 3e-3,
    lr_warm_up_steps: 20,
    lr_decay_steps: 100,
  });
  const source = new SyntheticSource(sampleSynthetic);
  const trainer = await createTrainer({ gpu, config, source });
  try {
    const rows: StepMetrics[] = [];
    while (trainer.step < trainer.totalSteps) rows.push(...(await trainer.advance()));
    rows.push(...(await trainer.drain()));
    expect(rows).toHaveLength(steps / config.metrics_every_steps);
    expect(rows.at(-1)!.fvu).toBeLessThan(rows[0]!.fvu / 5);

    const evaluation = await trainer.evaluate(8_192);
    expect(evaluation.fvu).toBeLessThan(0.08);
    expect(evaluation.l0).toBeGreaterThan(4);
    const recovery = await evaluateRecovery({ gpu, source, sae: await trainer.exportSae() });
    expect(recovery.mcc).toBeGreaterThan(0.93);
    expect(recovery.uniqueness).toBeGreaterThan(0.93);
    expect(recovery.f1).toBeGreaterThan(0.8);
  } finally {
    trainer.close();
  }
}, 300_000);
