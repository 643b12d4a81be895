import { existsSync } from "node:fs";
import { rename, truncate } from "node:fs/promises";
import path from "node:path";
import { eq, sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, it } from "vitest";
import { activation_sets, runs } from "../../db/schema.ts";
import { controlRun } from "../../server/runs/control.ts";
import { createRun } from "../../server/runs/create.ts";
import { runFolder } from "../../server/runs/delete.ts";
import { getRun, runLog } from "../../server/runs/get.ts";
import { interruptionLimit } from "../../server/runs/reaper.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { descendants, type Program } from "./processes.ts";
import {
  checkpointEvery,
  createSmallRun,
  expectedSteps,
  metricSteps,
  smallRun,
  smallSteps,
  startWorker,
  untilEnded,
  untilRun,
} from "./worker-runs.ts";

let test: TestServices;
let worker: Program;
let vanished: string;
/** Hashes of the SAEs of runs that something befell. */
const disturbed: (string | undefined)[] = [];

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

const control = (id: string, what: Parameters<typeof controlRun>[3]["control"]) =>
  controlRun(test.services.db, test.services.queue, test.services.env.home, { id, control: what });
const warnings = async (id: string) =>
  (await runLog(test.services.db, { id, after: 0, limit: 500 })).events.flatMap((event) =>
    event.type === "warning" ? [event.message] : [],
  );

it("fails while the run's folder is away, then uses the checkpoint before a damaged one, and says so", async () => {
  const { db, env } = test.services;
  const id = await createSmallRun(test, "folder away, checkpoint damaged");
  await untilRun(test, id, worker, "it trains", (run) => run.step >= 2 * checkpointEvery + 10);
  await control(id, "pause");
  const { step, checkpoints } = await untilRun(
    test,
    id,
    worker,
    "it is paused",
    (run) => run.status === "paused",
  );
  const [newest, older] = checkpoints;

  const folder = runFolder(env.home, id);
  await rename(folder, `${folder}.away`);
  await control(id, "resume");
  const failed = await untilEnded(test, id, worker);
  expect(failed).toMatchObject({ status: "failed", step });
  expect(failed.reason).toMatch(/folder .* is not on this machine.*mount it here and try again/);
  expect(existsSync(folder)).toBe(false);
  await rename(`${folder}.away`, folder);

  await truncate(path.join(folder, "checkpoints", `step_${newest?.step}`, "state.safetensors"), 100);
  await control(id, "retry");
  const ended = await untilEnded(test, id, worker);
  expect(ended.status).toBe("completed");
  expect(await metricSteps(test, id)).toEqual(expectedSteps(smallSteps));
  expect(await warnings(id)).toEqual([expect.stringContaining("Trying the one before it.")]);
  const { events } = await runLog(db, { id, after: 0, limit: 500 });
  expect(events).toContainEqual(
    expect.objectContaining({ type: "progress", message: expect.stringContaining(`step ${older?.step}.`) }),
  );
  disturbed.push(ended.sae?.sha256);
});

it("saves the run when the worker is asked to end; the next one goes on at the very step", async () => {
  const id = await createSmallRun(test, "asked to end");
  await untilRun(test, id, worker, "it trains", (run) => run.step >= 60);
  worker.signal("SIGTERM");
  expect(await worker.ended).toBe(0);
  const left = await getRun(test.services.db, { id });
  expect(left.status).toBe("interrupted");
  expect(left.reason).toContain("shut down");
  expect(left.checkpoints[0]?.step).toBe(left.step);
  worker = startWorker(test);
  const ended = await untilEnded(test, id, worker);
  const { events } = await runLog(test.services.db, { id, after: 0, limit: 500 });
  expect(events).toContainEqual(
    expect.objectContaining({ message: `Goes on from the checkpoint at step ${left.step}.` }),
  );
  disturbed.push(ended.sae?.sha256);
  // The same configuration and seed: whatever befell them, they found the same weights.
  expect(disturbed[0]).toBeDefined();
  expect(new Set(disturbed).size).toBe(1);
});

it("gives a run up whose training process dies again and again without a new checkpoint", async () => {
  const { db } = test.services;
  const id = await createSmallRun(test, "kills its trainer", { checkpoint_every_steps: 0 });
  const dies = async (attempt: number) => {
    await untilRun(
      test,
      id,
      worker,
      "it trains",
      (run) => run.attempt === attempt && run.status === "running",
    );
    for (const pid of descendants(worker.pid, "trainer-process.ts")) process.kill(pid, "SIGKILL");
  };
  // As if the first ones had died already.
  await db
    .update(runs)
    .set({ interruptions: interruptionLimit - 2 })
    .where(eq(runs.id, id));
  await dies(1);
  await dies(2);
  const ended = await untilEnded(test, id, worker);
  expect(ended.status).toBe("failed");
  expect(ended.reason).toContain("ended by SIGKILL");
  expect(ended.reason).toContain(`${interruptionLimit}th time in a row`);
});

it("fails in words when the database refuses what a run reports", async () => {
  const { db } = test.services;
  await db.execute(sql`
    create function refuse_metrics() returns trigger language plpgsql as $$ begin raise 'no such metrics'; end $$`);
  await db.execute(sql`
    create trigger refused before insert on run_metrics execute function refuse_metrics()`);
  const ended = await untilEnded(test, await createSmallRun(test, "refused"), worker);
  await db.execute(sql`drop trigger refused on run_metrics`);
  expect(ended.status).toBe("failed");
  expect(ended.reason).toContain("cannot be stored");
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
