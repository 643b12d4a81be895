import { pcg4d } from "../../gpu/data/random.ts";

/** `freeze` is SIGSTOP of the worker for longer than its lease, then SIGCONT; every other is SIGKILL. */
export const victims = ["worker", "trainer", "api", "database", "freeze"] as const;
export type Victim = (typeof victims)[number];

/** When a kill strikes: while the run is made, is being taken up, trains, pauses, stops, or is being finished. */
export type Moment = "creating" | "starting" | "training" | "pausing" | "stopping" | "finishing";

export interface Kill {
  /** The first seed of a run, with four cases, gives that run again. */
  seed: number;
  victim: Victim;
  moment: Moment;
  /** Steps made before it; 0 for a moment that is not one of training. */
  step: number;
  /** From the moment to the signal, ms. */
  delayMs: number;
  /** From the signal until what was killed is started again, ms. */
  downMs: number;
  /** Of a freeze: another machine's worker is there to take the run over. Of a dead worker: it is not started again before the run has been taken from it. */
  left: boolean;
}

/** Kills of one run, in order; each has a quarter of the run's steps to itself. */
export const killsPerRun = 4;
const quarter = 100;

/** `count` kills of `among` in runs of four. The first n of a longer plan with the same seed are the same. */
export function planKills(seed: number, count: number, among: readonly Victim[] = victims): Kill[][] {
  const kills = Array.from({ length: count }, (_, index) =>
    planKill(seed + index, index % killsPerRun, among),
  );
  return Array.from({ length: Math.ceil(count / killsPerRun) }, (_, run) =>
    kills.slice(run * killsPerRun, (run + 1) * killsPerRun),
  );
}

/** How often each is killed. */
const shares: Record<Victim, number> = { worker: 30, trainer: 26, database: 20, api: 16, freeze: 8 };

function planKill(seed: number, position: number, among: readonly Victim[]): Kill {
  const words = new Uint32Array(4);
  let drawn = 0;
  const uniform = () => {
    pcg4d(words, seed, drawn++, 0x66_61, 0x63_65);
    return words[0]! / 2 ** 32;
  };
  const choose = <T>(weighted: readonly (readonly [T, number])[]): T => {
    let rest = uniform() * weighted.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [value, weight] of weighted) {
      rest -= weight;
      if (rest < 0) return value;
    }
    return weighted.at(-1)![0];
  };
  const victim = choose(among.map((each) => [each, shares[each]] as const));
  const early: Moment = victim === "api" || victim === "database" ? "creating" : "starting";
  const moment = choose<Moment>(
    position === 0
      ? [
          [early, 40],
          ["training", 60],
        ]
      : position < killsPerRun - 1
        ? [
            ["training", 65],
            ["pausing", 35],
          ]
        : [
            ["training", 30],
            ["stopping", 30],
            ["finishing", 40],
          ],
  );
  const timed = moment === "training" || moment === "pausing" || moment === "stopping";
  return {
    seed,
    victim,
    moment,
    step: timed ? position * quarter + Math.floor(10 + 45 * uniform()) : 0,
    delayMs: Math.floor((moment === "creating" ? 60 : 300) * uniform()),
    downMs: Math.floor(1_500 * uniform()),
    left: uniform() < (victim === "freeze" ? 0.7 : 0.15),
  };
}

export function describeKill({ seed, victim, moment, step, delayMs, downMs, left }: Kill): string {
  const when = step > 0 ? `${moment} from step ${step}` : moment;
  const how =
    victim === "freeze"
      ? `frozen past its lease, ${left ? "another machine takes over" : "alone"}`
      : `${left && victim === "worker" ? "left dead past its lease" : `down ${downMs} ms`}`;
  return `seed ${seed}: ${victim === "freeze" ? "worker" : victim}, ${when} + ${delayMs} ms, ${how}`;
}
