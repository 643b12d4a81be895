import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { asc, eq } from "drizzle-orm";
import { expect } from "vitest";
import { checkpoints, run_events, saes } from "../../db/schema.ts";
import { folderHash } from "../../server/artifacts/atomic-folder.ts";
import { endedStatuses, transitions } from "../../server/runs/state-machine.ts";
import type { LiveMessage, RunDetail, RunStatus } from "../../server/runs/views.ts";
import { until } from "../integration/processes.ts";
import { expectedSteps, metricSteps, type smallRunInput } from "../integration/worker-runs.ts";
import { describeKill, type Kill } from "./kill-plan.ts";
import type { FaultSystem } from "./system.ts";

/** A kill, and how the run stood when it struck. */
export interface Struck {
  kill: Kill;
  status: RunStatus | "unmade";
  step: number;
}

/** Makes a run, kills as planned while it trains, and waits for its end. `told` hears of every kill before it strikes. */
export async function runWithKills(
  system: FaultSystem,
  name: string,
  kills: readonly Kill[],
  told: (struck: Struck) => void = () => undefined,
  config: Parameters<typeof smallRunInput>[1] = {},
): Promise<{ id: string; live: LiveSteps }> {
  const [first] = kills;
  let id: string;
  if (first?.moment === "creating") {
    const making = system.create(name, config);
    told({ kill: first, status: "unmade", step: 0 });
    await pause(first.delayMs);
    await Promise.all([making, system.strike(first, null)]);
    id = await making;
  } else {
    id = await system.create(name, config);
  }
  const live = new LiveSteps(system, id);
  for (const kill of kills) {
    if (kill.moment !== "creating") await killAt(system, id, kill, told);
  }
  await system.untilStanding(id, "the run ends", ({ status }) => endedStatuses.includes(status));
  return { id, live };
}

async function killAt(
  system: FaultSystem,
  id: string,
  kill: Kill,
  told: (struck: Struck) => void,
): Promise<void> {
  const { moment } = kill;
  // Deaths without a checkpoint in between are counted, and a run that kills what trains it is rightly given up.
  await system.untilStanding(
    id,
    `the moment of ${describeKill(kill)}`,
    ({ status, step, total, interruptions }) =>
      endedStatuses.includes(status) ||
      (moment === "starting"
        ? status === "initializing"
        : moment === "finishing"
          ? step === total
          : status === "running" && step >= kill.step && interruptions === 0),
  );
  if (moment === "pausing" || moment === "stopping") {
    const before = await system.standing(id);
    if (!endedStatuses.includes(before.status)) {
      await system.ask(id, moment === "pausing" ? "pause" : "stop").catch(unlessEnded(system, id));
    }
  }
  await pause(kill.delayMs);
  const { status, step } = await system.standing(id);
  told({ kill, status, step });
  await system.strike(kill, id);
  if (moment === "pausing") {
    const paused = await system.untilStanding(
      id,
      "it is paused",
      (now) => now.status === "paused" || endedStatuses.includes(now.status),
    );
    if (paused.status === "paused") await system.ask(id, "resume");
  }
}

/** A run may end before a wish reaches it. */
function unlessEnded(system: FaultSystem, id: string) {
  return async (error: unknown) => {
    if (!endedStatuses.includes((await system.standing(id)).status)) throw error;
  };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** The steps that a subscriber of the API was told of, through every cut. */
export class LiveSteps {
  readonly #steps = new Set<number>();
  readonly #stop: () => void;
  /** An event that came twice, or before an earlier one. */
  disorder: string | null = null;
  ended = false;

  constructor(system: FaultSystem, id: string) {
    let last = 0;
    const subscription = system.client.api.runs.live.subscribe(
      { id },
      {
        onData: ({ data }) => {
          const message = data as LiveMessage;
          const seq = message.type === "snapshot" ? message.run.seq : message.seq;
          if (seq <= last) this.disorder ??= `${message.type} ${seq} after ${last}`;
          last = seq;
          if (message.type === "metrics") for (const row of message.rows) this.#steps.add(row.step);
          if (message.type === "status") this.ended = endedStatuses.includes(message.status);
        },
      },
    );
    this.#stop = () => subscription.unsubscribe();
  }

  /** All steps, in order, once the end of the run has come through. */
  async complete(): Promise<number[]> {
    await until("the subscriber hears of the end", () => this.ended);
    this.#stop();
    return [...this.#steps].sort((a, b) => a - b);
  }
}

/** Everything that must be true of a run whatever was killed; `undisturbed` is the hash of the SAE without kills. */
export async function expectNothingLost(
  system: FaultSystem,
  id: string,
  live: LiveSteps,
  undisturbed: string,
): Promise<void> {
  const run = await system.client.api.runs.get.query({ id });
  expect({ status: run.status, reason: run.reason }).toEqual({
    status: expect.stringMatching(/^(completed|stopped)$/),
    reason: null,
  });
  expect(await metricSteps(system, id), "steps with a metrics row").toEqual(expectedSteps(run.step));
  expect(run.latest?.step, "newest metrics row").toBe(expectedSteps(run.step).at(-1));
  if (run.status === "completed") {
    expect(run.step).toBe(run.total_steps);
    expect(run.sae?.sha256, "hash of the SAE").toBe(undisturbed);
  }
  expect(run.checkpoints[0]?.step, "step of the newest checkpoint").toBe(run.step);
  await expectLegalHistory(system, id);
  await expectFilesAsRecorded(system, run);
  const told = await live.complete();
  expect(live.disorder, "order of what a subscriber was told").toBeNull();
  expect(told, "steps that a subscriber was told of").toEqual(
    expect.arrayContaining(expectedSteps(run.step)),
  );
}

async function expectLegalHistory(system: FaultSystem, id: string): Promise<void> {
  const rows = await system.services.db
    .select({ body: run_events.body, type: run_events.type })
    .from(run_events)
    .where(eq(run_events.run_id, id))
    .orderBy(asc(run_events.seq));
  const statuses = rows.flatMap(({ type, body }) =>
    type === "status" && typeof body === "object" && body !== null && "status" in body
      ? [body.status as RunStatus]
      : [],
  );
  for (const [index, to] of statuses.entries()) {
    const from = statuses[index - 1];
    if (from !== undefined)
      expect(transitions[from][to], `${statuses.join(", ")}: ${from} to ${to}`).toBeDefined();
  }
  expect(statuses.filter((status) => endedStatuses.includes(status))).toHaveLength(1);
}

/** Rows and folders say the same: every recorded folder is whole and as it was hashed, and there is no other. */
async function expectFilesAsRecorded(system: FaultSystem, run: RunDetail): Promise<void> {
  const { db } = system.services;
  const written = await db
    .select({ path: checkpoints.path, sha256: checkpoints.sha256 })
    .from(checkpoints)
    .where(eq(checkpoints.run_id, run.id));
  const left = await db
    .select({ path: saes.path, sha256: saes.sha256 })
    .from(saes)
    .where(eq(saes.run_id, run.id));
  expect(left).toHaveLength(1);
  for (const { path: relative, sha256 } of [...written, ...left]) {
    expect(await hashOf(path.join(system.home, relative)), relative).toBe(sha256);
  }
  const folder = path.join(system.home, "runs", run.id);
  const found = await Promise.all(
    (await readdir(folder)).map(async (name) =>
      (await readdir(path.join(folder, name))).map((inner) => path.join("runs", run.id, name, inner)),
    ),
  );
  expect(found.flat().sort(), "folders of the run").toEqual(
    [...written, ...left].map((row) => row.path).sort(),
  );
}

async function hashOf(folder: string): Promise<string> {
  const names = await readdir(folder);
  return folderHash(
    await Promise.all(
      names.map(async (name) => {
        const bytes = await readFile(path.join(folder, name));
        return { name, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
      }),
    ),
  );
}
