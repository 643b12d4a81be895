import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCheckpoint } from "../../server/artifacts/checkpoint.ts";
import { createFacetClient, type FacetClient } from "../../server/client.ts";
import { readSaeFolder } from "../../server/formats/sae-folder.ts";
import { runFolder } from "../../server/runs/delete.ts";
import { endedStatuses } from "../../server/runs/state-machine.ts";
import type { RunControl, RunDetail, RunStatus } from "../../server/runs/views.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { descendants, type Program, until } from "./processes.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import {
  checkpointEvery,
  expectedSteps,
  metricsEvery,
  smallRunInput,
  smallSteps,
  startWorker,
} from "./worker-runs.ts";

// What the peer product's list of tests put off (items 20.2 to 20.6), through the public API alone, on real runs.

let test: TestServices;
let server: ApiServer;
let worker: Program;
let api: FacetClient["api"];
let undisturbed: RunDetail;

beforeAll(async () => {
  test = await testServices();
  server = await serveApi(test.services);
  worker = startWorker(test);
  api = createFacetClient({ url: server.url }).api;
  undisturbed = await ended((await api.runs.create.mutate(smallRunInput("undisturbed"))).id);
});
afterAll(async () => {
  worker.signal("SIGTERM");
  expect(await worker.ended).toBe(0);
  await server.close();
  await test.close();
});

const create = async (name: string) => (await api.runs.create.mutate(smallRunInput(name))).id;
const control = (id: string, what: Exclude<RunControl, "delete">) =>
  api.runs.control.mutate({ id, control: what });
const ended = (id: string) => reaches(id, "it ends", ({ status }) => endedStatuses.includes(status));
const isNow = (id: string, status: RunStatus) =>
  reaches(id, `it is ${status}`, (run) => run.status === status);
const trains = (id: string, step: number) =>
  reaches(id, `it reaches step ${step}`, (run) => run.step >= step);

async function reaches(id: string, what: string, look: (run: RunDetail) => boolean): Promise<RunDetail> {
  let seen: RunDetail | null = null;
  try {
    return await until(what, async () => {
      seen = await api.runs.get.query({ id });
      return look(seen) && seen;
    });
  } catch (cause) {
    throw new Error(`${what}: ${JSON.stringify(seen)}\n${worker.output()}`, { cause });
  }
}

const metricSteps = async (id: string) => (await api.runs.metrics.query({ id })).rows.map(({ step }) => step);
const log = async (id: string) => (await api.runs.events.query({ id, after: 0, limit: 500 })).events;
const stateAt = (id: string, step: number) =>
  readCheckpoint(path.join(runFolder(test.services.env.home, id), "checkpoints", `step_${step}`));
const trainers = () => descendants(worker.pid, "trainer-process.ts");

describe("20.2 a run trains, its metrics are saved and its events are told", () => {
  it("completes with every metrics row once, and tells what it took and on what", async () => {
    expect(undisturbed).toMatchObject({ status: "completed", reason: null, step: smallSteps });
    expect(await metricSteps(undisturbed.id)).toEqual(expectedSteps(smallSteps));
    expect(undisturbed.worker?.adapter).not.toBe("");
    expect(undisturbed.memory?.planned_bytes).toBeGreaterThan(0);
    expect(undisturbed.memory?.peak_bytes).toBeLessThanOrEqual(undisturbed.memory?.planned_bytes ?? 0);
    const statuses = (await log(undisturbed.id)).flatMap((event) =>
      event.type === "status" ? [event.status] : [],
    );
    expect(statuses).toEqual(["queued", "initializing", "running", "completed"]);
  });

  it("leaves a checkpoint at every step of the interval, and an SAE that found features", async () => {
    const count = smallSteps / checkpointEvery;
    expect(undisturbed.checkpoints.map(({ step }) => step)).toEqual(
      Array.from({ length: count }, (_, index) => (count - index) * checkpointEvery),
    );
    expect(undisturbed.checkpoints[0]).toMatchObject({ step: smallSteps, reason: "final" });
    expect((await stateAt(undisturbed.id, smallSteps)).state.step).toBe(smallSteps);
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

describe("20.3 to 20.6 pause, resume, complete", () => {
  let id: string;
  let paused: RunDetail;

  it("20.3 pause: a checkpoint of the very step is saved, the status is paused, the loop has ended", async () => {
    id = await create("create, 50 steps, pause, resume, complete");
    await trains(id, 50);
    await control(id, "pause");
    paused = await isNow(id, "paused");
    expect(paused.step).toBeGreaterThanOrEqual(50);
    expect(paused.step).toBeLessThan(smallSteps);
    expectSaved(paused, "pause");
    expect((await stateAt(id, paused.step)).manifest).toMatchObject({
      step: paused.step,
      config: paused.config,
    });
    await until("the trainer is gone", () => trainers().length === 0);
  });

  it("20.4 resume: goes on from the exact step, with the whole state", async () => {
    await control(id, "resume");
    await isNow(id, "running");
    const said = (await log(id)).flatMap((event) => (event.type === "progress" ? [event.message] : []));
    expect(said).toContain(`Goes on from the checkpoint at step ${paused.step}.`);
  });

  it("20.6 completes as if it had never been paused: the same metrics, the same weights, bit for bit", async () => {
    const run = await ended(id);
    expect(run).toMatchObject({ status: "completed", attempt: 2, step: smallSteps });
    expect(await curve(id)).toEqual(await curve(undisturbed.id));
    expect(run.sae?.sha256).toBe(undisturbed.sae?.sha256);
    const [one, other] = await Promise.all([stateAt(id, smallSteps), stateAt(undisturbed.id, smallSteps)]);
    expect(one.state).toEqual(other.state);
  });

  /** Everything measured at each step, but for how fast it was. */
  async function curve(of: string) {
    const { rows } = await api.runs.metrics.query({ id: of });
    expect(rows).toHaveLength(smallSteps / metricsEvery);
    return rows.map(({ tokens_per_second: _rate, ...row }) => row);
  }
});

describe("20.5 stop", () => {
  it("saves a final checkpoint and an SAE for use; the status is stopped", async () => {
    const id = await create("stopped");
    await trains(id, 50);
    await control(id, "stop");
    const run = await ended(id);
    expect(run.status).toBe("stopped");
    expect(run.step).toBeLessThan(smallSteps);
    expectSaved(run, "stop");
    expect((await stateAt(id, run.step)).state.step).toBe(run.step);
    expect(await metricSteps(id)).toEqual(expectedSteps(run.step));
    expect((await readSaeFolder(path.join(test.services.env.home, run.sae?.path ?? ""))).format).toBe(
      "saelens",
    );
    await until("the trainer is gone", () => trainers().length === 0);
  });
});

/** Its newest checkpoint is of its last step; at a step of the interval that checkpoint serves for both. */
function expectSaved(run: RunDetail, reason: "pause" | "stop"): void {
  expect(run.checkpoints[0]?.step).toBe(run.step);
  const reasons = run.step % checkpointEvery === 0 ? ["interval", reason] : [reason];
  expect(reasons).toContain(run.checkpoints[0]?.reason);
}
