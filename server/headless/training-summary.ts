import { duration, table } from "../cli/format.ts";
import type { Figures } from "./finish-training.ts";
import type { RunFailure } from "./run-folder.ts";

/** What became of one SAE. */
export interface SaeOutcome {
  label: string;
  folder: string;
  /** Its SAE and figures; null where training diverged. */
  sae: string | null;
  evaluation: Figures | null;
  failure: RunFailure | null;
}

/** What a run that came to its end leaves; printed by --json as it is. */
export interface TrainingSummary {
  status: "completed" | "failed" | "diverged";
  out: string;
  adapter: string;
  /** Steps of the run, and how many had been taken when this command began. */
  steps: number;
  resumed_from: number;
  tokens: number;
  /** Of this command's steps. */
  seconds: number;
  tokens_per_second: number;
  saes: SaeOutcome[];
}

/** failed: some SAEs of several diverged; diverged: all did, or the only one. */
export function statusOf(saes: readonly SaeOutcome[]): TrainingSummary["status"] {
  const failed = saes.filter(({ failure }) => failure !== null).length;
  if (failed === 0) return "completed";
  return failed === saes.length ? "diverged" : "failed";
}

/** The summary for a person. */
export function summaryLines(summary: TrainingSummary): string[] {
  const { saes, steps, seconds, tokens_per_second } = summary;
  const pace = `${duration(seconds)}, ${Math.round(tokens_per_second)} tokens/s`;
  const done = saes.filter(({ failure }) => failure === null);
  const several = saes.length > 1;
  const rows = done.map(({ label, sae, evaluation }) => [
    ...(several ? [label] : []),
    evaluation?.fvu.toPrecision(4) ?? "",
    evaluation?.explained_variance.toPrecision(4) ?? "",
    evaluation?.l0.toFixed(1) ?? "",
    String(evaluation?.dead_features ?? ""),
    sae ?? "",
  ]);
  const head = [...(several ? ["SAE"] : []), "FVU", "explained variance", "L0", "dead", "folder"];
  return [
    `${steps} steps in ${pace}.`,
    ...(rows.length > 0 ? table(head, rows) : []),
    ...saes.flatMap(({ label, failure }) =>
      failure === null ? [] : [`${several ? `${label}: ` : ""}diverged at step ${failure.step}.`],
    ),
  ];
}
