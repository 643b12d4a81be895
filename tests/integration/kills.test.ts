import { afterAll, beforeAll, expect, it } from "vitest";
import type { Kill, Moment, Victim } from "../faults/kill-plan.ts";
import { expectNothingLost, runWithKills } from "../faults/killed-run.ts";
import { FaultSystem } from "../faults/system.ts";
import { smallRun } from "./worker-runs.ts";

// The shortest of tests/faults, which kills at random: one run in which every part is killed once.

const config = { training_tokens: smallRun.train_batch_size_tokens * 200 };

let system: FaultSystem;
beforeAll(async () => {
  system = await FaultSystem.start();
});
afterAll(async () => {
  expect(await system.close()).toBe(true);
});

const kill = (victim: Victim, moment: Moment, step: number): Kill => ({
  seed: 0,
  victim,
  moment,
  step,
  delayMs: 30,
  downMs: 0,
  left: false,
});

it("a run loses nothing when trainer, database, worker and API are killed under it", {
  timeout: 300_000,
}, async () => {
  const undisturbed = await runWithKills(system, "undisturbed", [], undefined, config);
  const { sae } = await system.client.api.runs.get.query({ id: undisturbed.id });
  const { id, live } = await runWithKills(
    system,
    "killed",
    [
      kill("trainer", "training", 20),
      kill("database", "training", 55),
      kill("worker", "training", 95),
      kill("api", "training", 140),
    ],
    undefined,
    config,
  );
  expect(sae).not.toBeNull();
  await expectNothingLost(system, undisturbed.id, undisturbed.live, sae?.sha256 ?? "");
  await expectNothingLost(system, id, live, sae?.sha256 ?? "");
});
