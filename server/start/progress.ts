import { asc, inArray } from "drizzle-orm";
import type { OpenedDatabase } from "../../db/open.ts";
import { runs } from "../../db/schema.ts";
import { NotFoundError } from "../errors.ts";
import { getRun } from "../runs/get.ts";
import { endedStatuses, heldStatuses, waitingStatuses } from "../runs/state-machine.ts";
import type { RunDetail } from "../runs/views.ts";
import type { Terminal } from "./terminal.ts";

const intervalMs = 500;

/** Shows a run's progress until it has ended or is gone, or `signal` says to stop. */
export async function followRun(
  { db }: OpenedDatabase,
  runId: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const run = await getRun(db, { id: runId });
      if (endedStatuses.includes(run.status)) {
        terminal.endProgress();
        terminal.line(`${run.name}: ${run.status}. ${outcome(run)}`);
        return;
      }
      terminal.progress(`${run.name}: ${describe(run)}`);
    } catch (error) {
      if (error instanceof NotFoundError) break;
      terminal.progress("The database does not answer; waiting for it.");
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
  terminal.endProgress();
}

/** The run that waits or trains longest, as after a stop in the middle of it. */
export async function oldestUnfinished({ db }: OpenedDatabase): Promise<string | null> {
  const [run] = await db
    .select({ id: runs.id })
    .from(runs)
    .where(inArray(runs.status, [...waitingStatuses, ...heldStatuses]))
    .orderBy(asc(runs.id))
    .limit(1);
  return run?.id ?? null;
}

function describe(run: RunDetail): string {
  const percent = Math.floor((100 * run.step) / run.total_steps);
  const parts = [`step ${run.step} of ${run.total_steps} (${percent} %)`];
  if (run.status !== "running")
    parts.unshift(run.reason === null ? run.status : `${run.status}: ${run.reason}`);
  if (run.latest !== null) {
    const { fvu, l0, dead_features, tokens_per_second } = run.latest;
    parts.push(`FVU ${fvu.toFixed(3)}`, `L0 ${l0.toFixed(1)}`, `${dead_features} dead`);
    parts.push(`${Math.round(tokens_per_second).toLocaleString("en")} tokens/s`);
  }
  if (run.eta_seconds !== null) parts.push(`${Math.ceil(run.eta_seconds)} s left`);
  return parts.join(" · ");
}

function outcome({ sae, reason }: RunDetail): string {
  if (sae === null) return reason ?? "";
  const parts = [`FVU ${sae.evaluation.fvu.toFixed(3)}`, `L0 ${sae.evaluation.l0.toFixed(1)}`];
  if (sae.recovery !== null) {
    const { mcc, f1, uniqueness, n_features } = sae.recovery;
    parts.push(
      `true features (of ${n_features}): MCC ${mcc.toFixed(3)}, F1 ${f1.toFixed(3)}, uniqueness ${uniqueness.toFixed(3)}`,
    );
  }
  return parts.join(", ");
}
