import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKill, planKills, type Victim, victims } from "./kill-plan.ts";
import { expectNothingLost, runWithKills } from "./killed-run.ts";
import { FaultSystem } from "./system.ts";

const seed = whole("FACET_FAULT_SEED", randomInt(1_000_000));
const cases = whole("FACET_FAULT_CASES", 100);
/** Kills of one part only, to look at it closely. */
const only = victims.find((victim) => victim === process.env.FACET_FAULT_VICTIM);
const plan = planKills(seed, cases, only === undefined ? victims : [only]);

let system: FaultSystem;
let undisturbed: string;
const struck: Record<Victim, number> = { worker: 0, trainer: 0, api: 0, database: 0, freeze: 0 };
let late = 0;
let whole_runs = 0;

beforeAll(async () => {
  console.log(
    `${cases} kills in ${plan.length} runs; FACET_FAULT_SEED=${seed} FACET_FAULT_CASES=${cases}${only === undefined ? "" : ` FACET_FAULT_VICTIM=${only}`}`,
  );
  system = await FaultSystem.start();
  const { id, live } = await runWithKills(system, "undisturbed", []);
  const { sae } = await system.client.api.runs.get.query({ id });
  undisturbed = sae?.sha256 ?? "";
  await expectNothingLost(system, id, live, undisturbed);
});

afterAll(async () => {
  const counts = victims.map((victim) => `${victim} ${struck[victim]}`).join(", ");
  console.log(
    `${Object.values(struck).reduce((sum, count) => sum + count, 0)} kills (${counts}; ${late} of them after the run's end); ` +
      `${whole_runs} of ${plan.length} runs lost nothing; seed ${seed}`,
  );
  expect(await system.close()).toBe(true);
});

for (const [index, kills] of plan.entries()) {
  const seeds = kills.map((kill) => kill.seed);
  it(`run ${index + 1} loses nothing (seeds ${seeds[0]} to ${seeds.at(-1)})`, {
    timeout: 600_000,
  }, async () => {
    const { id, live } = await runWithKills(system, `run ${index + 1}`, kills, ({ kill, status, step }) => {
      struck[kill.victim] += 1;
      if (status === "completed" || status === "stopped") late += 1;
      console.log(`run ${index + 1}: ${describeKill(kill)} (${status}, step ${step})`);
    });
    await expectNothingLost(system, id, live, undisturbed);
    whole_runs += 1;
  });
}

function whole(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`${name} must be a whole number; it is “${text}”.`);
  return value;
}
