import { chmod, mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ensureDatabase } from "../../db/embedded.ts";
import { migrateDatabase } from "../../db/migrate.ts";
import { activation_sets } from "../../db/schema.ts";
import { environment } from "../../server/environment.ts";
import { controlRun } from "../../server/runs/control.ts";
import { createRun } from "../../server/runs/create.ts";
import { runFolder } from "../../server/runs/delete.ts";
import { runLog } from "../../server/runs/get.ts";
import { openServices } from "../../server/services.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { descendants, type Program } from "./processes.ts";
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

let test: TestServices;
let worker: Program;
let vanished: string;

beforeAll(async () => {
  test = await testServices();
  // While no worker is there to plan its memory for, a run is accepted without a look at the files.
  vanished = await createRunOnMissingFiles();
  worker = startWorker(test);
});
afterAll(async () => {
  worker.signal("SIGTERM");
  await worker.ended;
  await test.close();
});

const warnings = async (id: string) =>
  (await runLog(test.services.db, { id, after: 0, limit: 500 })).events.flatMap((event) =>
    event.type === "warning" ? [event.message] : [],
  );

it("uses the checkpoint before a damaged one, and says so", async () => {
  const { db, queue, env } = test.services;
  const id = await createSmallRun(test, "damaged checkpoint");
  await untilRun(test, id, worker, "it trains", (run) => run.step >= 2 * checkpointEvery + 10);
  await controlRun(db, queue, env.home, { id, control: "pause" });
  const paused = await untilRun(test, id, worker, "it is paused", (run) => run.status === "paused");
  const [newest, older] = paused.checkpoints;
  const folder = path.join(runFolder(env.home, id), "checkpoints", `step_${newest?.step}`);
  await truncate(path.join(folder, "state.safetensors"), 100);
  await controlRun(db, queue, env.home, { id, control: "resume" });
  const ended = await untilEnded(test, id, worker);
  expect(ended.status).toBe("completed");
  expect(await metricSteps(test, id)).toEqual(expectedSteps(steps));
  expect(await warnings(id)).toEqual([expect.stringContaining("Trying the one before it.")]);
  const { events } = await runLog(db, { id, after: 0, limit: 500 });
  expect(events).toContainEqual(
    expect.objectContaining({ type: "progress", message: expect.stringContaining(`step ${older?.step}.`) }),
  );
});

it("goes on after the training process is killed, as by the system when memory runs out", async () => {
  const id = await createSmallRun(test, "killed trainer");
  await untilRun(test, id, worker, "it trains", (run) => run.step >= checkpointEvery);
  for (const pid of descendants(worker.pid, "trainer-process.ts")) process.kill(pid, "SIGKILL");
  const interrupted = await untilRun(test, id, worker, "it is interrupted", (run) => run.attempt === 2);
  expect(interrupted.status).not.toBe("failed");
  const ended = await untilEnded(test, id, worker);
  expect(ended.status).toBe("completed");
  expect(await metricSteps(test, id)).toEqual(expectedSteps(steps));
});

it("fails in words when the activations' files have vanished", async () => {
  const ended = await untilEnded(test, vanished, worker);
  expect(ended.status).toBe("failed");
  expect(ended.reason).toContain("manifest.json");
  expect(ended.allowed).toContain("retry");
});

it("keeps a second worker off the same adapter, in one line", async () => {
  const second = startWorker(test);
  expect(await second.ended).toBe(78);
  expect(second.output()).toContain(`already trains on`);
  expect(second.output()).toContain(String(worker.pid));
});

it("trains on while the database is away, and loses nothing", async () => {
  const home = await mkdtemp(path.join(os.tmpdir(), "facet-outage-"));
  await chmod(home, 0o755);
  const server = await ensureDatabase(home);
  await migrateDatabase(server.url);
  const services = await openServices(environment({ FACET_HOME: home, DATABASE_URL: server.url }));
  const outage: TestServices = { services, close: () => services.close() };
  const trainer = startWorker(outage);
  try {
    const id = await createSmallRun(outage, "outage");
    await untilRun(outage, id, trainer, "it trains", (run) => run.step >= checkpointEvery);
    const [pid] = (await readFile(path.join(home, "postgres", "data", "postmaster.pid"), "utf8")).split("\n");
    process.kill(Number(pid), "SIGKILL");
    await sleep(1_500);
    expect((await ensureDatabase(home)).url).toBe(server.url);
    const ended = await untilEnded(outage, id, trainer);
    expect(ended.status).toBe("completed");
    expect(await metricSteps(outage, id)).toEqual(expectedSteps(steps));
    expect(trainer.output()).toContain("does not answer");
  } finally {
    trainer.signal("SIGTERM");
    await trainer.ended;
    await services.close();
    await server.stop();
    await rm(home, { recursive: true, force: true });
  }
});

async function createRunOnMissingFiles(): Promise<string> {
  const { db, queue, env } = test.services;
  const [set] = await db
    .insert(activation_sets)
    .values({
      name: "gone",
      hook_name: "blocks.0.hook_resid_post",
      status: "ready",
      origin: "gone.safetensors",
      n_tokens: 10_000,
      d_in: smallRun.d_in,
      bytes: 640_000,
      sha256: "00",
    })
    .returning();
  const source = { kind: "activation_set" as const, activation_set_ids: [set?.id ?? ""] };
  const { id } = await createRun(db, queue, env.home, { name: "vanished", source, config: smallRun });
  return id;
}
