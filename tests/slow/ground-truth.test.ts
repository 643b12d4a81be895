import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PeerScore, peerTables } from "../../bench/peer-recovery.ts";
import { type OwnScore, recoveryTable } from "../../bench/recovery-table.ts";
import { runOnTruth } from "../../bench/truth-runs.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";

/** How far below the peer's mean a single seed may end. */
const tolerance = 0.01;

let gpu: Gpu;
let scores: OwnScore[] = [];
beforeAll(async () => {
  gpu = await openGpu();
  const runs = {
    preset: "toy",
    architectures: baseArchitectures,
    seeds: [0],
    training_tokens: null,
    overrides: [],
  } as const;
  ({ scores } = await runOnTruth(gpu, runs, (line) => console.info(line)));
}, 90 * 60_000);
afterAll(() => {
  gpu.close();
  console.info(`toy on ${gpu.capabilities.adapter}\n\n${recoveryTable(scores, peerTables.toy.scores)}`);
});

describe("the toy's true features", () => {
  for (const architecture of baseArchitectures) {
    it(`${architecture} recovers them as well as the peer does`, () => {
      const recovery = scores.find((score) => score.architecture === architecture)?.recovery;
      const peers = peerTables.toy.scores.filter((score) => score.architecture === architecture);
      // Of an architecture that the peer trained in several ways, the best; means over its seeds.
      const best = (of: (score: PeerScore) => number) =>
        Math.max(
          ...peers.map(({ options }) => {
            const alike = peers.filter((score) => score.options === options);
            return alike.reduce((sum, score) => sum + of(score), 0) / alike.length;
          }),
        );
      expect(recovery?.mcc).toBeGreaterThan(best(({ mcc }) => mcc) - tolerance);
      expect(recovery?.f1).toBeGreaterThan(best(({ f1 }) => f1) - tolerance);
      expect(recovery?.explained_variance).toBeGreaterThan(
        best((score) => score.explained_variance) - tolerance,
      );
    });
  }
});
