import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { livingProcess } from "../../db/embedded/process.ts";
import { readCheckpoint } from "../../server/artifacts/checkpoint.ts";
import { readSaeFolder } from "../../server/formats/sae-folder.ts";
import { controlRun } from "../../server/runs/control.ts";
import { runFolder } from "../../server/runs/delete.ts";
import { getRun, runLog } from "../../server/runs/get.ts";
import type { RunDetail } from "../../server/runs/views.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { descendants, type Program, until } from "./processes.ts";
import {
  checkpointEvery,
  createSmallRun,
  expectedSteps,
  metricSteps,
  smallRun,
  startWorker,
  untilEnded,
  untilRun,
} from "./worker-runs.ts";

const steps = smallRun.training_tokens / smallRun.train_batch_size_tokens;

const trainerProgram = "trainer-process.ts";

let test: TestServices;
let worker: Program;
let undisturbed: RunDetail;

beforeAll(async () => {
  test = await testServices();
  worker = startWorker(test);
  undisturbed = await untilEnded(test, await createSmallRun(test, "undisturbed"), worker);
});
afterAll(async () => {
  worker.signal("SIGTERM");
  expect(await worker.ended).toBe(0);
  await test.close();
});

const isAlive = (pid: number) => livingProcess(pid) !== null;
const control = (id: string, what: Parameters<typeof controlRun>[3]["control"]) =>
  controlRun(test.services.db, test.services.queue, test.services.env.home, { id, control: what });

/** Its newest checkpoint is of its last step; at a step of the interval that checkpoint serves for both. */
function expectSaved(run: RunDetail, reason: "pause" | "stop"): void {
  expect(run.checkpoints[0]?.step).toBe(run.step);
  const reasons = run.step % checkpointEvery === 0 ? ["interval", reason] : [reason];
  expect(reasons).toContain(run.checkpoints[0]?.reason);
}

describe("a run that nothing disturbs", () => {
  it("is completed with every metrics row once", async () => {
    expect(undisturbed.reason).toBeNull();
    expect(undisturbed.status).toBe("completed");
    expect(undisturbed.step).toBe(steps);
    expect(await metricSteps(test, undisturbed.id)).toEqual(expectedSteps(steps));
  });

  it("tells what it took and on what", () => {
    expect(undisturbed.worker?.adapter).not.toBe("");
    expect(undisturbed.memory?.planned_bytes).toBeGreaterThan(0);
    expect(undisturbed.memory?.peak_bytes).toBeLessThanOrEqual(undisturbed.memory?.planned_bytes ?? 0);
  });

  it("leaves checkpoints that can be read", async () => {
    const wanted = Array.from(
      { length: steps / checkpointEvery },
      (_, index) => (index + 1) * checkpointEvery,
    );
    expect(undisturbed.checkpoints.map(({ step }) => step).sort((a, b) => a - b)).toEqual(wanted);
    expect(undisturbed.checkpoints[0]).toMatchObject({ step: steps, reason: "final" });
    const folder = path.join(
      runFolder(test.services.env.home, undisturbed.id),
      "checkpoints",
      `step_${steps}`,
    );
    const { state } = await readCheckpoint(folder);
    expect(state.step).toBe(steps);
  });

  it("leaves an SAE that found features, in SAELens' layout", async () => {
    const { sae } = undisturbed;
    expect(sae?.evaluation.fvu).toBeLessThan(0.9);
    expect(sae?.recovery?.n_features).toBe(32);
    expect(sae?.recovery?.mcc).toBeGreaterThan(0);
    const read = await readSaeFolder(path.join(test.services.env.home, sae?.path ?? ""));
    expect(read.format).toBe("saelens");
    expect(read.sae.config).toMatchObject({ activation: "topk", d_in: 16, d_sae: 32, k: 2 });
    expect(read.sae.tensors.W_enc?.shape).toEqual([16, 32]);
  });
});

describe("controls of a running run", () => {
  it("pauses with a checkpoint, frees the GPU, and goes on to the same weights", async () => {
    const id = await createSmallRun(test, "paused");
    await untilRun(test, id, worker, "it trains", (run) => run.step >= 60);
    await control(id, "pause");
    const paused = await untilRun(test, id, worker, "it is paused", (run) => run.status === "paused");
    expect(paused.step).toBeLessThan(steps);
    expectSaved(paused, "pause");
    await until("the trainer is gone", () => descendants(worker.pid, trainerProgram).length === 0);
    await control(id, "resume");
    const ended = await untilEnded(test, id, worker);
    expect(ended.status).toBe("completed");
    expect(ended.attempt).toBe(2);
    expect(await metricSteps(test, id)).toEqual(expectedSteps(steps));
    expect(ended.sae?.sha256).toBe(undisturbed.sae?.sha256);
  });

  it("stops with a checkpoint and an SAE for use", async () => {
    const id = await createSmallRun(test, "stopped");
    await untilRun(test, id, worker, "it trains", (run) => run.step >= 60);
    await control(id, "stop");
    const stopped = await untilEnded(test, id, worker);
    expect(stopped.status).toBe("stopped");
    expect(stopped.step).toBeLessThan(steps);
    expectSaved(stopped, "stop");
    expect(stopped.sae).not.toBeNull();
  });
});

describe("a run whose folder is not here", () => {
  it("fails with the reason instead of beginning anew, and goes on once the folder is back", async () => {
    const id = await createSmallRun(test, "folder away");
    await untilRun(test, id, worker, "it trains", (run) => run.step >= 60);
    await control(id, "pause");
    const { step } = await untilRun(test, id, worker, "it is paused", (run) => run.status === "paused");
    const folder = runFolder(test.services.env.home, id);
    fs.renameSync(folder, `${folder}.away`);
    await control(id, "resume");
    const failed = await untilEnded(test, id, worker);
    expect(failed).toMatchObject({ status: "failed", step });
    expect(failed.reason).toMatch(/folder .* is not on this machine.*mount it here and try again/);
    expect(fs.existsSync(folder)).toBe(false);
    fs.renameSync(`${folder}.away`, folder);
    await control(id, "retry");
    const ended = await untilEnded(test, id, worker);
    expect(ended.status).toBe("completed");
    expect(ended.sae?.sha256).toBe(undisturbed.sae?.sha256);
  });
});

describe("a worker that is killed", () => {
  it("leaves the run to the next worker, which goes on from the checkpoint to the same weights", async () => {
    const id = await createSmallRun(test, "killed");
    await untilRun(test, id, worker, "it trains", (run) => run.step >= 2 * checkpointEvery);
    const [trainer] = descendants(worker.pid, trainerProgram);
    worker.signal("SIGKILL");
    await worker.ended;
    await until("its trainer ends too", () => !isAlive(trainer ?? 0), 5_000);
    worker = startWorker(test);
    await untilRun(
      test,
      id,
      worker,
      "it is taken up",
      (run) => run.attempt === 2 && run.status === "running",
    );
    const ended = await untilEnded(test, id, worker);
    expect(ended.status).toBe("completed");
    expect(await metricSteps(test, id)).toEqual(expectedSteps(steps));
    expect(ended.sae?.sha256).toBe(undisturbed.sae?.sha256);
    const { events } = await runLog(test.services.db, { id, after: 0, limit: 500 });
    const statuses = events.flatMap((event) => (event.type === "status" ? [event.status] : []));
    expect(statuses).toEqual([
      "queued",
      "initializing",
      "running",
      "interrupted",
      "initializing",
      "running",
      "completed",
    ]);
    expect(events.some((event) => event.type === "progress" && /at step \d+/.test(event.message))).toBe(true);
  });
});

describe("a worker that is asked to end", () => {
  it("saves the run, says so truthfully, and the next worker goes on at the very step", async () => {
    const id = await createSmallRun(test, "asked to end");
    await untilRun(test, id, worker, "it trains", (run) => run.step >= 60);
    worker.signal("SIGTERM");
    expect(await worker.ended).toBe(0);
    const left = await getRun(test.services.db, { id });
    expect(left.status).toBe("interrupted");
    expect(left.reason).toContain("shut down");
    const saved = left.checkpoints[0]?.step ?? 0;
    expect(saved).toBeGreaterThanOrEqual(60);
    worker = startWorker(test);
    const resumed = await untilRun(test, id, worker, "it goes on", (run) => run.status === "running");
    expect(resumed.step).toBeGreaterThanOrEqual(saved);
    const ended = await untilEnded(test, id, worker);
    expect(ended.sae?.sha256).toBe(undisturbed.sae?.sha256);
  });
});
