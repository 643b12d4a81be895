import { access, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { eq, sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkpoints, run_events, run_metrics, runs, saes, workers } from "../../db/schema.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { checkRun } from "../../server/runs/check.ts";
import { controlRun } from "../../server/runs/control.ts";
import { createRun } from "../../server/runs/create.ts";
import { deleteRun, runFolder, sweepTrash } from "../../server/runs/delete.ts";
import { getRun, runLog } from "../../server/runs/get.ts";
import { runMetrics } from "../../server/runs/metrics.ts";
import {
  claimRun,
  recordCheckpoint,
  recordMetrics,
  recordResume,
  recordSae,
  transition,
} from "../../server/runs/record.ts";
import { addWorker, metricsRow, syntheticRun, type TestServices, testServices } from "./api-server.ts";

let test: TestServices;
beforeAll(async () => {
  test = await testServices();
});
afterAll(() => test.close());

const create = (name: string, config: Parameters<typeof syntheticRun>[1] = {}) =>
  createRun(test.services.db, test.services.queue, test.services.env.home, syntheticRun(name, config)).then(
    ({ id }) => id,
  );
const control = (id: string, what: Parameters<typeof controlRun>[3]["control"]) =>
  controlRun(test.services.db, test.services.queue, test.services.env.home, { id, control: what });
const remove = (id: string) =>
  deleteRun(test.services.db, test.services.queue, test.services.env.home, { id });
const jobs = async (id: string) =>
  (
    await test.services.sql<{ state: string }[]>`
      select state::text from pgboss.job where data ->> 'runId' = ${id} and state < 'completed' order by created_on`
  ).map((job) => job.state);

async function running(name: string, config: Parameters<typeof syntheticRun>[1] = {}) {
  const { db } = test.services;
  const runId = await create(name, config);
  const worker = await addWorker(test.services);
  const lease = await claimRun(db, runId, { id: worker });
  if (lease === null) throw new Error("the run could not be claimed");
  await transition(db, runId, lease.attempt, ["initializing"], "running");
  return lease;
}

const capabilities = {
  adapter: "Test adapter",
  vendor: "test",
  architecture: "test",
  driver: "test",
  software: true,
  timestamps: false,
  shader_f16: false,
  subgroup_min_size: 4,
  subgroup_max_size: 4,
  subgroup_matrices: [],
  limits: {
    max_storage_buffer_binding_size: 2 ** 30,
    max_buffer_size: 2 ** 30,
    max_compute_workgroup_storage_size: 32_768,
    max_compute_invocations_per_workgroup: 256,
    max_compute_workgroups_per_dimension: 65_535,
    max_storage_buffers_per_shader_stage: 12,
  },
};

const topkSae: SaeConfig = {
  activation: "topk",
  d_in: 32,
  d_out: 32,
  d_sae: 64,
  k: 4,
  rescale_acts_by_decoder_norm: false,
  apply_b_dec_to_input: true,
  normalize_activations: "none",
  transcoder: false,
  skip: false,
  n_hook_points: 1,
  metadata: {
    model_name: null,
    hook_name: "synthetic",
    hook_name_out: null,
    dataset_name: null,
    context_size: null,
    prepend_bos: null,
    training_architecture: "topk",
    extra: {},
  },
};

const checkpoint = (step: number) => ({
  step,
  reason: "interval" as const,
  path: `runs/x/checkpoints/step_${step}`,
  bytes: 10,
  duration_ms: 1.5,
  sha256: "00",
});

describe("creating a run", () => {
  it("makes the row, its first event and its job together", async () => {
    const id = await create("made together");
    const run = await getRun(test.services.db, { id });
    expect(run).toMatchObject({ status: "queued", step: 0, total_steps: 244, seq: 1, allowed: ["cancel"] });
    expect((await runLog(test.services.db, { id, after: 0, limit: 10 })).events).toMatchObject([
      { seq: 1, type: "status", status: "queued" },
    ]);
    expect(await jobs(id)).toEqual(["created"]);
  });

  it("names every fault at once, in full sentences at their paths", async () => {
    const { faults } = await checkRun(test.services.db, test.services.env.home, {
      name: "  ",
      source: { kind: "synthetic", synthetic: { d_in: 16, firing_probability: 2 } },
      config: { d_in: 32, d_sae: 0, k: 4, lr: 5, training_tokens: Number.NaN },
    });
    expect(faults.map((fault) => fault.path)).toEqual([
      "name",
      "source.synthetic.firing_probability",
      "config.d_sae",
      "config.lr",
      "config.training_tokens",
    ]);
    for (const { message } of faults) expect(message).toMatch(/^[A-Zd].*\.$/);
    expect(faults[3]!.message).toBe("Learning rate must be at most 1; it is 5.");
  });

  it("checks options against each other, the width of the source, and what exists", async () => {
    const faulty = syntheticRun("faulty", { d_in: 8, d_sae: 16, k: 32, training_tokens: 10 });
    const { faults } = await checkRun(test.services.db, test.services.env.home, faulty);
    expect(faults.map((fault) => fault.path)).toEqual(["config.k", "config.training_tokens", "config.d_in"]);
    const unknown = await checkRun(test.services.db, test.services.env.home, {
      ...faulty,
      source: { kind: "activation_set", activation_set_ids: ["019ab000-0000-7000-8000-000000000000"] },
      config: { d_in: 8, d_sae: 16, k: 2 },
    });
    expect(unknown.faults).toMatchObject([{ path: "source.activation_set_ids.0" }]);
    await expect(
      createRun(test.services.db, test.services.queue, test.services.env.home, faulty),
    ).rejects.toMatchObject({
      name: "InvalidInputError",
      faults: [{ path: "config.k" }, { path: "config.training_tokens" }, { path: "config.d_in" }],
    });
  });

  it("plans the memory for the worker with the most, and says when no worker can hold the run", async () => {
    const { db, env } = test.services;
    const worker = await addWorker(test.services, "small");
    await db.update(workers).set({ capabilities, memory_bytes: 50_000_000 }).where(eq(workers.id, worker));
    const fits = await checkRun(db, env.home, syntheticRun("fits"));
    expect(fits.faults).toEqual([]);
    expect(fits.memory?.total).toBe(fits.memory?.parts.reduce((sum, part) => sum + part.bytes, 0));
    const huge = await checkRun(db, env.home, syntheticRun("huge", { d_sae: 100_000 }));
    expect(huge.faults).toEqual([
      {
        path: "config.d_sae",
        message: expect.stringMatching(/^The run takes [\d,]+ MB of GPU memory, but .* on small has 50 MB/),
      },
    ]);
    await db.delete(workers).where(eq(workers.id, worker));
  });

  it("rolls the job back with the row", async () => {
    const { db, queue, env, sql: raw } = test.services;
    const before = await raw`select count(*) from pgboss.job`;
    await expect(
      db.transaction(async (tx) => {
        await createRun(tx, queue, env.home, syntheticRun("never"));
        throw new Error("changed my mind");
      }),
    ).rejects.toThrow("changed my mind");
    expect(await raw`select count(*) from pgboss.job`).toEqual(before);
  });
});

describe("controls", () => {
  it("cancel of a run that never began leaves nothing behind", async () => {
    const id = await create("cancelled");
    expect(await control(id, "cancel")).toEqual({ status: "deleted" });
    await expect(getRun(test.services.db, { id })).rejects.toMatchObject({ name: "NotFoundError" });
    expect(await jobs(id)).toEqual([]);
  });

  it("two controls at once have one winner", async () => {
    const { runId } = await running("raced");
    const results = await Promise.allSettled([
      control(runId, "pause"),
      control(runId, "stop"),
      control(runId, "pause"),
    ]);
    const won = results.filter((result) => result.status === "fulfilled");
    const lost = results.filter((result) => result.status === "rejected");
    expect(won.length).toBeGreaterThanOrEqual(1);
    expect(lost.length).toBeGreaterThanOrEqual(1);
    for (const { reason } of lost) expect(reason).toMatchObject({ name: "ConflictError" });
    const [row] = await test.services.db.select().from(runs).where(eq(runs.id, runId));
    expect(["pause", "stop"]).toContain(row!.desired);
  });

  it("two transitions from one state have exactly one winner", async () => {
    const { runId, attempt } = await running("raced transitions");
    const { db } = test.services;
    const results = await Promise.allSettled([
      transition(db, runId, attempt, ["running"], "paused"),
      transition(db, runId, attempt, ["running"], "failed", "No."),
      transition(db, runId, null, ["running"], "interrupted", "Silent."),
    ]);
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(1);
  });

  it("pause, resume and stop go through the worker and the queue", async () => {
    const { db } = test.services;
    const lease = await running("paused and resumed");
    const { runId } = lease;
    await recordCheckpoint(db, lease, checkpoint(100));
    expect(await control(runId, "pause")).toEqual({ status: "running" });
    expect((await getRun(db, { id: runId })).allowed).toEqual(["resume", "stop"]);
    await transition(db, runId, lease.attempt, ["running"], "paused");
    const paused = await getRun(db, { id: runId });
    expect(paused).toMatchObject({ status: "paused", desired: "run", allowed: ["resume", "stop", "delete"] });

    expect(await control(runId, "resume")).toEqual({ status: "queued" });
    expect(await jobs(runId)).toContain("created");
    const again = await claimRun(db, runId, { id: await addWorker(test.services) });
    expect(again).toMatchObject({ attempt: lease.attempt + 1, desired: "run", checkpoints: [{ step: 100 }] });
    await expect(recordMetrics(db, lease, [metricsRow(101)])).rejects.toMatchObject({
      name: "LostLeaseError",
    });

    await transition(db, runId, again!.attempt, ["initializing"], "paused");
    expect(await control(runId, "stop")).toEqual({ status: "queued" });
    expect(await claimRun(db, runId, { id: await addWorker(test.services) })).toMatchObject({
      desired: "stop",
    });
  });

  it("cancel of a resumed run only leaves the queue; retry starts from the newest checkpoint", async () => {
    const { db } = test.services;
    const lease = await running("failed once");
    await recordCheckpoint(db, lease, checkpoint(10));
    await recordCheckpoint(db, lease, checkpoint(20));
    await transition(db, lease.runId, lease.attempt, ["running"], "failed", "The loss became NaN.");
    expect(await getRun(db, { id: lease.runId })).toMatchObject({
      reason: "The loss became NaN.",
      allowed: ["retry", "delete"],
    });
    expect(await control(lease.runId, "retry")).toEqual({ status: "queued" });
    expect(await control(lease.runId, "cancel")).toEqual({ status: "paused" });
    // The job of the first attempt stays: the test claimed the run past the queue.
    expect(await jobs(lease.runId)).toEqual(["created"]);
    await control(lease.runId, "resume");
    expect(await jobs(lease.runId)).toEqual(["created", "created"]);
    const again = await claimRun(db, lease.runId, { id: await addWorker(test.services) });
    expect(again?.checkpoints.map(({ step }) => step)).toEqual([20, 10]);
  });

  it("a conflict says where the run is and what can be done", async () => {
    const id = await create("waiting");
    await expect(control(id, "pause")).rejects.toThrow(
      "The run is queued, so it cannot be paused now. It can be cancelled.",
    );
  });
});

describe("what a worker records", () => {
  it("numbers events and metrics in one sequence and overwrites a step seen again", async () => {
    const { db } = test.services;
    const lease = await running("recorded");
    await recordMetrics(db, lease, [metricsRow(10), metricsRow(20)]);
    await recordMetrics(db, lease, [metricsRow(20, { loss: 9 }), metricsRow(30)]);
    const rows = await db
      .select()
      .from(run_metrics)
      .where(eq(run_metrics.run_id, lease.runId))
      .orderBy(run_metrics.step);
    expect(rows.map(({ step, seq, loss }) => [step, seq, loss])).toEqual([
      [10, 4, 1 / 11],
      [20, 6, 9],
      [30, 7, 1 / 31],
    ]);
    const run = await getRun(db, { id: lease.runId });
    expect(run).toMatchObject({ step: 30, seq: 7, latest: { step: 30 } });
    expect(run.eta_seconds).toBeCloseTo((244 - 30) / 10);
  });

  it("goes back with the run to the step of its checkpoint, and forgets what came after", async () => {
    const { db } = test.services;
    const lease = await running("taken back");
    await recordMetrics(db, lease, [metricsRow(10), metricsRow(20), metricsRow(30)]);
    await recordCheckpoint(db, lease, checkpoint(20));
    await recordCheckpoint(db, lease, checkpoint(30));
    const tidied: string[] = [];
    await recordResume(db, lease, 20, async (recorded) => {
      tidied.push(...recorded);
    });
    const run = await getRun(db, { id: lease.runId });
    expect(run).toMatchObject({ step: 20, latest: metricsRow(20) });
    expect(run.checkpoints.map(({ step }) => step)).toEqual([20]);
    expect((await runMetrics(db, { id: lease.runId, points: 20 })).rows.map(({ step }) => step)).toEqual([
      10, 20,
    ]);
    expect(tidied.sort()).toEqual([checkpoint(20).path, checkpoint(30).path]);
  });

  it("keeps numbers whole under concurrent writers", async () => {
    const { db } = test.services;
    const lease = await running("concurrent");
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        index % 4 === 0
          ? recordCheckpoint(db, lease, checkpoint(index))
          : recordMetrics(db, lease, [metricsRow(index)]),
      ),
    );
    const seqs = [
      ...(await db
        .select({ seq: run_events.seq })
        .from(run_events)
        .where(eq(run_events.run_id, lease.runId))),
      ...(await db
        .select({ seq: run_metrics.seq })
        .from(run_metrics)
        .where(eq(run_metrics.run_id, lease.runId))),
    ].map(({ seq }) => seq);
    expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: 23 }, (_, index) => index + 1));
  });
});

describe("history", () => {
  it("is thinned to the points asked for and keeps the ends and every spike", async () => {
    const { db } = test.services;
    const lease = await running("long", { training_tokens: 4_096 * 60_000 });
    await db.execute(sql`
      insert into run_metrics (run_id, step, hook_name, seq, tokens, loss, mse_loss, sparsity_loss, aux_loss, l0,
        explained_variance, fvu, dead_features, grad_norm, lr, sparsity_coefficient, tokens_per_second, gpu_bytes)
      select ${lease.runId}, s, 'synthetic', 100 + s, s, case when s = 33333 then 1000 else 1.0 / s end, 0, 0, 0,
        case when s = 44444 then 0 else 4 end, 0, 0, 0, 0, 0, 0, 1, 0 from generate_series(1, 60000) s`);
    const { rows } = await runMetrics(db, { id: lease.runId, points: 500 });
    expect(rows.length).toBeLessThanOrEqual(500);
    expect(rows.length).toBeGreaterThan(100);
    const steps = rows.map(({ step }) => step);
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    expect(steps).toEqual(expect.arrayContaining([1, 33_333, 44_444, 60_000]));
    expect((await runMetrics(db, { id: lease.runId, points: 500 })).rows).toEqual(rows);
  });
});

describe("deleting a run", () => {
  it("is refused while active, with what can be done instead", async () => {
    const { runId } = await running("active");
    await expect(remove(runId)).rejects.toThrow(
      "The run is running, so it cannot be deleted now. It can be paused or stopped.",
    );
  });

  it("leaves neither rows nor files", async () => {
    const { db, env } = test.services;
    const lease = await running("whole life");
    const { runId, attempt } = lease;
    const folder = runFolder(env.home, runId);
    await mkdir(path.join(folder, "checkpoints/step_1"), { recursive: true });
    await writeFile(path.join(folder, "checkpoints/step_1/state.safetensors"), "x");
    await recordMetrics(db, lease, [metricsRow(1)]);
    await recordCheckpoint(db, lease, checkpoint(1));
    await recordSae(db, lease, {
      hook_name: "synthetic",
      path: `runs/${runId}/sae/synthetic`,
      bytes: 1,
      sha256: "00",
      architecture: "topk",
      config: topkSae,
      evaluation: { tokens: 1, mse: 0, fvu: 0, explained_variance: 1, l0: 4, dead_features: 0 },
      recovery: null,
      histograms: { frequency: null, decoder_norm: { from: 0, to: 1, counts: [1] } },
      in_model: null,
    });
    await transition(db, runId, attempt, ["running"], "completed");
    expect(await getRun(db, { id: runId })).toMatchObject({ status: "completed", sae: { bytes: 1 } });
    expect(await db.select().from(saes).where(eq(saes.run_id, runId))).toMatchObject([
      { name: "whole life", format: "facet", status: "ready", d_in: 32, d_out: 32, d_sae: 64 },
    ]);
    await remove(runId);
    for (const table of [run_metrics, run_events, checkpoints, saes]) {
      expect(await db.select().from(table).where(eq(table.run_id, runId))).toEqual([]);
    }
    expect(await db.select().from(runs).where(eq(runs.id, runId))).toEqual([]);
    await expect(access(folder)).rejects.toMatchObject({ code: "ENOENT" });
    await expect(access(path.join(env.home, "trash", runId))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("a removal cut short is finished or undone at the next start", async () => {
    const { db, env } = test.services;
    const id = await create("survivor");
    const gone = "019ab000-0000-7000-8000-000000000001";
    await mkdir(path.join(env.home, "trash", id), { recursive: true });
    await mkdir(path.join(env.home, "trash", gone), { recursive: true });
    await sweepTrash(db, env.home);
    await access(runFolder(env.home, id));
    await expect(access(path.join(env.home, "trash", gone))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
