import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createFacetClient, type FacetClient } from "../../server/client.ts";
import { createRun } from "../../server/runs/create.ts";
import { deleteRun } from "../../server/runs/delete.ts";
import {
  claimRun,
  type Lease,
  recordCheckpoint,
  recordEvent,
  recordMetrics,
  transition,
} from "../../server/runs/record.ts";
import type { LiveMessage, RunEvent } from "../../server/runs/views.ts";
import { addWorker, metricsRow, syntheticRun, type TestServices, testServices } from "./api-server.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";

let test: TestServices;
let server: ApiServer;
let client: FacetClient;
beforeAll(async () => {
  test = await testServices();
});
afterAll(() => test.close());
beforeEach(async () => {
  server = await serveApi(test.services);
  client = createFacetClient({ url: server.url });
});
afterEach(() => server.close());

async function runningRun(training_tokens = 1_000_000): Promise<Lease> {
  const { db, queue, env } = test.services;
  const { id } = await createRun(db, queue, env.home, syntheticRun("live", { training_tokens }));
  const lease = await claimRun(db, id, { id: await addWorker(test.services) });
  if (lease === null) throw new Error("the run could not be claimed");
  await transition(db, id, lease.attempt, ["initializing"], "running");
  return lease;
}

interface Seen {
  messages: LiveMessage[];
  until(done: (messages: LiveMessage[]) => boolean): Promise<void>;
  ended: Promise<void>;
  stop(): void;
}

function subscribe(id: string, lastEventId?: number): Seen {
  const messages: LiveMessage[] = [];
  const waiting = new Set<() => void>();
  let stop: () => void = () => undefined;
  const ended = new Promise<void>((resolve, reject) => {
    const subscription = client.api.runs.live.subscribe(
      { id, ...(lastEventId === undefined ? {} : { lastEventId }) },
      {
        onData: ({ data }) => {
          messages.push(data as LiveMessage);
          for (const check of waiting) check();
        },
        onComplete: resolve,
        onStopped: resolve,
        onError: reject,
      },
    );
    stop = () => subscription.unsubscribe();
  });
  return {
    messages,
    ended,
    stop,
    until: (done) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`gave up waiting after ${JSON.stringify(messages).slice(0, 2_000)}`)),
          20_000,
        );
        const check = () => {
          if (!done(messages)) return;
          clearTimeout(timer);
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

const events = (messages: LiveMessage[]) =>
  messages.filter((message): message is RunEvent => message.type !== "snapshot");
const stepsOf = (messages: LiveMessage[]) =>
  events(messages).flatMap((event) => (event.type === "metrics" ? event.rows.map((row) => row.step) : []));

describe("a live subscription", () => {
  it("begins with a snapshot and goes on with numbered events within half a second", async () => {
    const lease = await runningRun();
    const seen = subscribe(lease.runId);
    await seen.until((messages) => messages.length === 1);
    expect(seen.messages[0]).toMatchObject({ type: "snapshot", run: { id: lease.runId, seq: 3 } });
    const begun = performance.now();
    await recordMetrics(test.services.db, lease, [metricsRow(10)]);
    await seen.until((messages) => stepsOf(messages).length === 1);
    expect(performance.now() - begun).toBeLessThan(500);
    await recordEvent(test.services.db, lease, { type: "warning", message: "Careful." });
    await seen.until((messages) => messages.length === 3);
    expect(seen.messages.slice(1)).toMatchObject([
      { type: "metrics", seq: 4 },
      { type: "warning", seq: 5, message: "Careful." },
    ]);
    seen.stop();
  });

  it("loses none and doubles none while its connections are cut", async () => {
    const steps = 1_200;
    const lease = await runningRun(4_096 * steps);
    const seen = subscribe(lease.runId);
    await seen.until((messages) => messages.length === 1);
    const cutter = setInterval(() => server.cut(), 700);
    for (let step = 1; step <= steps; step += 4) {
      await recordMetrics(
        test.services.db,
        lease,
        [0, 1, 2, 3].map((offset) => metricsRow(step + offset)),
      );
      if (step % 400 === 1) {
        await recordCheckpoint(test.services.db, lease, {
          step,
          reason: "interval",
          path: `runs/${lease.runId}/checkpoints/step_${step}`,
          bytes: 1,
          duration_ms: 1,
          sha256: "00",
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    clearInterval(cutter);
    await transition(test.services.db, lease.runId, lease.attempt, ["running"], "completed");
    await seen.until((messages) => messages.some((m) => m.type === "status" && m.status === "completed"));
    expect(stepsOf(seen.messages)).toEqual(Array.from({ length: steps }, (_, index) => index + 1));
    const seqs = events(seen.messages).map((event) => event.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    expect(seen.messages.filter((message) => message.type === "snapshot")).toHaveLength(1);
    expect(events(seen.messages).filter((event) => event.type === "checkpoint")).toHaveLength(3);
    seen.stop();
  });

  it("survives the loss of the LISTEN connection", async () => {
    const lease = await runningRun();
    const seen = subscribe(lease.runId);
    await seen.until((messages) => messages.length === 1);
    await test.services.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and query ilike 'listen%'`;
    await recordMetrics(test.services.db, lease, [metricsRow(7)]);
    await seen.until((messages) => stepsOf(messages).length === 1);
    seen.stop();
  });

  it("catches up from a number given, without a snapshot, in pieces", async () => {
    const lease = await runningRun(4_096 * 2_000);
    for (let step = 1; step <= 1_501; step += 500) {
      await recordMetrics(
        test.services.db,
        lease,
        Array.from({ length: 500 }, (_, index) => metricsRow(step + index)),
      );
    }
    const seen = subscribe(lease.runId, 3);
    await seen.until((messages) => stepsOf(messages).length === 2_000);
    expect(seen.messages.every((message) => message.type === "metrics")).toBe(true);
    expect(stepsOf(seen.messages)).toEqual(Array.from({ length: 2_000 }, (_, index) => index + 1));
    seen.stop();
  });

  it("ends when the run is deleted, and refuses one that does not exist", async () => {
    const { db, queue, env } = test.services;
    const lease = await runningRun();
    await transition(db, lease.runId, lease.attempt, ["running"], "failed", "No.");
    const seen = subscribe(lease.runId);
    await seen.until((messages) => messages.length === 1);
    await deleteRun(db, queue, env.home, { id: lease.runId });
    await seen.ended;
    await expect(subscribe(lease.runId).ended).rejects.toThrow(/There is no run/);
  });
});

describe("polling", () => {
  it("gives the same events from the same numbers", async () => {
    const lease = await runningRun(4_096 * 1_300);
    for (let step = 1; step <= 1_300; step += 100) {
      await recordMetrics(
        test.services.db,
        lease,
        Array.from({ length: 100 }, (_, index) => metricsRow(step + index)),
      );
      await recordEvent(test.services.db, lease, { type: "progress", message: `At ${step}.` });
    }
    const all: LiveMessage[] = [];
    let seq = 0;
    for (;;) {
      const page = await client.api.runs.poll.query({ id: lease.runId, after: seq });
      if (page.events.length === 0) break;
      all.push(...(page.events as RunEvent[]));
      seq = page.seq;
    }
    expect(stepsOf(all)).toEqual(Array.from({ length: 1_300 }, (_, index) => index + 1));
    expect(seq).toBe(3 + 1_300 + 13);
    const log = await client.api.runs.events.query({ id: lease.runId });
    expect(log.events).toHaveLength(3 + 13);
  });
});
