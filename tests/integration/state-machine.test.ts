import { eq, sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../db/open.ts";
import { runs, workers } from "../../db/schema.ts";
import { controlRun } from "../../server/runs/control.ts";
import { createRun } from "../../server/runs/create.ts";
import { deleteRun } from "../../server/runs/delete.ts";
import { getRun } from "../../server/runs/get.ts";
import { ensureJobs, interruptRunsOf, reapRuns, workerSession } from "../../server/runs/reaper.ts";
import { claimRun, recordCheckpoint, recordMetrics, transition } from "../../server/runs/record.ts";
import {
  allowedControls,
  endedStatuses,
  heldStatuses,
  transitions,
} from "../../server/runs/state-machine.ts";
import { type DesiredState, type RunStatus, runControls, runStatuses } from "../../server/runs/views.ts";
import { addWorker, metricsRow, syntheticRun, type TestServices, testServices } from "./api-server.ts";

let test: TestServices;
let runId: string;
let workerId: string;
beforeAll(async () => {
  test = await testServices();
  const { db, queue, env } = test.services;
  runId = (await createRun(db, queue, env.home, syntheticRun("moved about"))).id;
  workerId = await addWorker(test.services);
});
afterAll(() => test.close());

/** Puts the run into a state past the state machine, as the background of a test. */
async function put(status: RunStatus, desired: DesiredState = "run", attempt = 1): Promise<void> {
  await test.services.db
    .update(runs)
    .set({
      status,
      desired,
      attempt,
      interruptions: 0,
      worker_id: workerId,
      ended_at: endedStatuses.includes(status) ? new Date() : null,
    })
    .where(eq(runs.id, runId));
}
const now = async () => (await getRun(test.services.db, { id: runId })).status;

describe("transitions", () => {
  for (const actor of ["worker", "reaper"] as const) {
    it(`of the ${actor}: legal ones happen, every other is refused and changes nothing`, async () => {
      const { db } = test.services;
      for (const from of runStatuses) {
        for (const to of runStatuses) {
          await put(from);
          const move = transition(db, runId, actor === "worker" ? 1 : null, [from], to, "why");
          if (transitions[from][to]?.includes(actor)) {
            expect(await move, `${from} -> ${to}`).toBe(to);
            expect(await now()).toBe(to);
          } else {
            await expect(move, `${from} -> ${to}`).rejects.toMatchObject({ name: "ConflictError" });
            expect(await now()).toBe(from);
          }
        }
      }
    });
  }

  it("are refused from a state that was not expected, and to an attempt that holds the run no more", async () => {
    const { db } = test.services;
    await put("running", "run", 3);
    await expect(transition(db, runId, 3, ["initializing"], "completed")).rejects.toMatchObject({
      name: "ConflictError",
    });
    await expect(transition(db, runId, 2, ["running"], "completed")).rejects.toMatchObject({
      name: "LostLeaseError",
    });
    await put("paused", "run", 3);
    await expect(recordMetrics(db, { runId, attempt: 3 }, [metricsRow(1)])).rejects.toMatchObject({
      name: "LostLeaseError",
    });
    expect(await now()).toBe("paused");
  });

  it("that the same attempt has made already are not made again", async () => {
    const { db } = test.services;
    await put("running", "run", 3);
    const { seq } = await getRun(db, { id: runId });
    expect(await transition(db, runId, 3, ["initializing"], "running")).toBe("running");
    await put("paused", "run", 3);
    expect(await transition(db, runId, 3, ["running"], "paused")).toBe("paused");
    expect((await getRun(db, { id: runId })).seq).toBe(seq);
  });

  it("to interrupted end paused when a pause was under way", async () => {
    await put("running", "pause");
    expect(await transition(test.services.db, runId, 1, ["running"], "interrupted", "gone")).toBe("paused");
  });
});

describe("a claim", () => {
  it("takes a waiting run for exactly one of many workers, and no other", async () => {
    const { db } = test.services;
    for (const status of runStatuses) {
      await put(status);
      const claims = await Promise.all(
        Array.from({ length: 4 }, () => claimRun(db, runId, { id: workerId })),
      );
      const waiting = status === "queued" || status === "interrupted";
      expect(
        claims.filter((claim) => claim !== null),
        status,
      ).toHaveLength(waiting ? 1 : 0);
    }
    await put("interrupted", "pause");
    expect(await claimRun(db, runId, { id: workerId })).toBeNull();
  });
});

describe("controls", () => {
  it("work exactly where they are offered", async () => {
    const { db, queue, env } = test.services;
    for (const status of runStatuses) {
      for (const desired of ["run", "pause", "stop"] as const) {
        if (desired !== "run" && !heldStatuses.includes(status) && status !== "interrupted") continue;
        for (const control of runControls) {
          await put(status, desired);
          const done =
            control === "delete"
              ? deleteRun(db, queue, env.home, { id: runId })
              : controlRun(db, queue, env.home, { id: runId, control });
          if (!allowedControls(status, desired).includes(control)) {
            await expect(done, `${control} ${status} ${desired}`).rejects.toMatchObject({
              name: "ConflictError",
            });
            expect(await now()).toBe(status);
          } else {
            await done;
            if (control !== "delete") continue;
            runId = (await createRun(db, queue, env.home, syntheticRun("moved about"))).id;
          }
        }
      }
    }
  });
});

describe("the reaper", () => {
  const silence = (seconds: number) =>
    test.services.db
      .update(workers)
      .set({ heartbeat_at: sql`now() - make_interval(secs => ${seconds})` })
      .where(eq(workers.id, workerId));

  it("takes runs from silent workers only, and sees that they are queued again", async () => {
    const { db, queue, sql: raw } = test.services;
    await put("running", "run", 7);
    await silence(5);
    expect(await reapRuns(db, queue)).toEqual([]);
    await silence(11);
    const reaped = await Promise.all([reapRuns(db, queue), reapRuns(db, queue)]);
    expect(reaped.flat()).toEqual([runId]);
    expect(await getRun(db, { id: runId })).toMatchObject({
      status: "interrupted",
      reason: expect.stringContaining("went silent"),
    });
    const jobs = await raw`select 1 from pgboss.job where singleton_key = ${`${runId}:7`}`;
    expect(jobs).toHaveLength(1);
    await silence(0);
  });

  it("takes a run from a worker that stands still in the middle of a write to it", async () => {
    const { db, queue, env } = test.services;
    await put("running", "run", 9);
    await silence(11);
    const frozen = openDatabase(env.database_url ?? "", { connections: 1, name: workerSession(workerId) });
    let reaping: Promise<unknown> = Promise.resolve();
    const write = frozen.db.transaction(async (tx) => {
      await tx.select().from(runs).where(eq(runs.id, runId)).for("update");
      reaping = reapRuns(db, queue);
      await reaping;
    });
    await expect(write).rejects.toThrow();
    await reaping;
    expect(await now()).toBe("interrupted");
    await frozen.close();
    await silence(0);
  });

  it("gives a run up that outlives worker after worker, and forgives at a checkpoint", async () => {
    const { db, queue } = test.services;
    await put("queued");
    for (let death = 1; death <= 4; death++) {
      expect(await claimRun(db, runId, { id: workerId })).not.toBeNull();
      await interruptRunsOf(db, queue, [workerId]);
      expect(await now()).toBe("interrupted");
    }
    const claim = await claimRun(db, runId, { id: workerId });
    await recordCheckpoint(
      db,
      { runId, attempt: claim!.attempt },
      { step: 5, reason: "interval", path: "x", bytes: 1, duration_ms: 1, sha256: "00" },
    );
    await interruptRunsOf(db, queue, [workerId]);
    expect(await now()).toBe("interrupted");
    for (let death = 1; death <= 4; death++) {
      await claimRun(db, runId, { id: workerId });
      await interruptRunsOf(db, queue, [workerId]);
    }
    expect(await getRun(db, { id: runId })).toMatchObject({ status: "failed", allowed: ["retry", "delete"] });
  });

  it("sends a job for a waiting run that has none, and no second one", async () => {
    const { db, queue, sql: raw } = test.services;
    await put("queued", "run", 40);
    await db.update(runs).set({ updated_at: sql`now() - interval '1 minute'` }).where(eq(runs.id, runId));
    await ensureJobs(db, queue);
    await ensureJobs(db, queue);
    const jobs = await raw`select 1 from pgboss.job where singleton_key = ${`${runId}:40`}`;
    expect(jobs).toHaveLength(1);
  });
});
