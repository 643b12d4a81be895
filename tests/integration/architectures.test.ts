import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Architecture,
  architectures,
  baseOf,
  isBase,
  isTranscoder,
} from "../../gpu/sae/architecture.ts";
import type { TrainingConfigInput } from "../../gpu/sae/config.ts";
import { readSaeFolder } from "../../server/formats/sae-folder.ts";
import { checkRun } from "../../server/runs/check.ts";
import { createRun } from "../../server/runs/create.ts";
import { runMetrics } from "../../server/runs/metrics.ts";
import type { RunDetail } from "../../server/runs/views.ts";
import { getSae } from "../../server/saes/get.ts";
import { type TestServices, testServices } from "./api-server.ts";
import type { Program } from "./processes.ts";
import { tinySet } from "./tiny-saes.ts";
import { startWorker, untilEnded } from "./worker-runs.ts";

const steps = 12;
const batch = 32;
const d_in = 8;
const d_out = 12;
const n_tokens = 512;

let test: TestServices;
let worker: Program;
let sets: Record<"input" | "target" | "other", string>;
beforeAll(async () => {
  test = await testServices();
  sets = {
    input: await tinySet(test.services, "input", { n_tokens, d_in }),
    target: await tinySet(test.services, "target", { n_tokens, d_in: d_out, shift: 1 }),
    other: await tinySet(test.services, "other", { n_tokens, d_in, shift: 2 }),
  };
  worker = startWorker(test);
});
afterAll(async () => {
  worker.signal("SIGTERM");
  expect(await worker.ended).toBe(0);
  await test.close();
});

/** Only what has no default, and what an architecture needs besides. */
function inputOf(architecture: Architecture, extra: Partial<TrainingConfigInput> = {}) {
  const ids = isBase(architecture)
    ? [sets.input]
    : isTranscoder(architecture)
      ? [sets.input, sets.target]
      : [sets.input, sets.other];
  const config: TrainingConfigInput = {
    architecture,
    d_in,
    d_sae: 16,
    training_tokens: steps * batch,
    train_batch_size_tokens: batch,
    n_batches_for_norm_estimate: 2,
    metrics_every_steps: 4,
    checkpoint_every_steps: 0,
    ...(isTranscoder(architecture) ? { d_out } : {}),
    ...(architecture === "crosscoder" ? { n_hook_points: 2 } : {}),
    ...extra,
  };
  const base = baseOf({ architecture, base_architecture: config.base_architecture ?? "topk" });
  const few = ["topk", "batchtopk", "matryoshka_batchtopk"].includes(base) && architecture !== "crosscoder";
  return {
    name: architecture,
    source: { kind: "activation_set" as const, activation_set_ids: ids },
    config: { ...config, ...(few ? { k: 2 } : {}) },
  };
}

async function trained(input: ReturnType<typeof inputOf>): Promise<RunDetail> {
  const { db, queue, env } = test.services;
  const { faults, memory } = await checkRun(db, env.home, input);
  expect(faults).toEqual([]);
  expect(memory === null || memory.total > 0).toBe(true);
  const { id } = await createRun(db, queue, env.home, input);
  const run = await untilEnded(test, id, worker);
  expect(run.reason).toBeNull();
  expect(run.status).toBe("completed");
  return run;
}

/** Beside what every run of its architecture has: a steered penalty, and transcoders over other activations. */
const variations: Partial<Record<Architecture, Partial<TrainingConfigInput>>> = {
  gated: { target_l0: 3 },
  transcoder: { base_architecture: "jumprelu" },
  skip_transcoder: { base_architecture: "batchtopk" },
};

describe("every architecture", () => {
  for (const architecture of architectures) {
    it(`${architecture} is trained by the worker and leaves an SAE`, async () => {
      const { db, env } = test.services;
      const variation = variations[architecture];
      const run = await trained(inputOf(architecture, variation));
      if (variation?.target_l0) expect(run.sparsity).toBe("target L0 3");
      if (variation?.base_architecture)
        expect(run.config.base_architecture).toBe(variation.base_architecture);
      const { rows } = await runMetrics(db, { id: run.id, points: 100 });
      expect(rows.map(({ step }) => step)).toEqual([4, 8, 12]);
      for (const row of rows) {
        expect(Number.isFinite(row.loss)).toBe(true);
        expect(row.loss).toBeCloseTo(row.mse_loss + row.sparsity_loss + row.aux_loss, 3);
      }
      const penalised = ["standard", "gated", "jumprelu"].includes(baseOf(run.config));
      expect(rows.some((row) => row.sparsity_coefficient > 0)).toBe(penalised);
      expect(run.memory?.peak_bytes).toBeLessThanOrEqual(run.memory?.planned_bytes ?? 0);

      const sae = await getSae(db, { id: run.sae!.id });
      const input = architecture === "crosscoder" ? 2 * d_in : d_in;
      const output = isTranscoder(architecture) ? d_out : input;
      expect(sae).toMatchObject({
        name: architecture,
        run: { id: run.id },
        format: "facet",
        architecture,
        d_in: input,
        d_out: output,
        d_sae: 16,
        fvu: run.sae!.evaluation.fvu,
        config: { transcoder: isTranscoder(architecture), skip: architecture === "skip_transcoder" },
      });
      expect(sae.histograms?.decoder_norm.counts.reduce((sum, n) => sum + n)).toBe(16);
      const folder = await readSaeFolder(path.join(env.home, sae.path));
      expect(folder.sae.config).toEqual(sae.config);
      expect(folder.sae.tensors.W_dec?.shape).toEqual([16, output]);
      expect(folder.sae.config.metadata.hook_name).toBe(
        architecture === "crosscoder" ? "hook.input, hook.other" : "hook.input",
      );
      expect(folder.sae.config.metadata.hook_name_out).toBe(
        isTranscoder(architecture) ? "hook.target" : null,
      );
    });
  }
});
