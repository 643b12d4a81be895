import type { Executor } from "../../db/executor.ts";
import type { RunQueue } from "../queue.ts";
import {
  type ClaimedEvaluation,
  claimEvaluation,
  recordFailure,
  recordProgress,
  recordRequeue,
  recordResult,
} from "../saes/evaluation-record.ts";
import type { ModelMeasures, SaeMeasures } from "../saes/measures.ts";
import type { TrainerTask } from "./messages.ts";
import { describeCrash, forkTrainer, type Trainer } from "./trainer.ts";

export interface EvaluationSessionOptions {
  db: Executor;
  queue: RunQueue;
  home: string;
  adapter: string | null;
  workerId: string;
  /** Aborted when the worker is to end: the evaluation is left for the next worker. */
  shutdown: AbortSignal;
  log(line: string): void;
}

/** A page shows progress this often, and an evaluation that was deleted ends this soon. */
const reportMs = 500;

/** Does one evaluation in a forked process, from the claim until its row says how it went. */
export async function evaluateOne(id: string, options: EvaluationSessionOptions): Promise<void> {
  const { db, queue, workerId, shutdown, log } = options;
  const claim = await claimEvaluation(db, id, workerId);
  if (claim === null) return;
  log(`Evaluation ${id} of ${claim.name}`);
  let result: SaeMeasures | ModelMeasures | null = null;
  let failure: string | null = null;
  let progress = 0;
  const child = forkTrainer(taskOf(claim, options), (message) => {
    if (message.type === "evaluating") progress = message.progress;
    if (message.type === "evaluated" || message.type === "evaluated_in_model") result = message.result;
    if (message.type === "failed") failure = message.reason;
  });
  const kill = () => child.kill();
  shutdown.addEventListener("abort", kill, { once: true });
  const reporting = report(db, claim, child, () => progress);
  const ending = await child.ended;
  await reporting;
  shutdown.removeEventListener("abort", kill);
  if (result !== null) await recordResult(db, claim, result);
  else if (shutdown.aborted) await requeue(db, queue, claim);
  else await recordFailure(db, claim, failure ?? describeCrash(ending));
}

function taskOf({ path, on }: ClaimedEvaluation, { home, adapter }: EvaluationSessionOptions): TrainerTask {
  if (on.kind === "activations") {
    return { type: "evaluate", home, path, setIds: on.setIds, tokens: on.tokens };
  }
  const { kind: _, ...ground } = on;
  return { type: "evaluate_in_model", adapter, home, path, ...ground };
}

/** Writes progress until the process has ended; kills it when the evaluation is not this worker's any more. */
async function report(
  db: Executor,
  claim: ClaimedEvaluation,
  child: Trainer,
  progress: () => number,
): Promise<void> {
  let over = false;
  const ended = child.ended.then(() => {
    over = true;
  });
  while (!over) {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([ended, new Promise<void>((resolve) => (timer = setTimeout(resolve, reportMs)))]);
    clearTimeout(timer);
    if (over) return;
    // A write that fails is made good by the next; a row that is gone is final.
    const mine = await recordProgress(db, claim, progress()).catch(() => true);
    if (!mine) child.kill();
  }
}

async function requeue(db: Executor, queue: RunQueue, claim: ClaimedEvaluation): Promise<void> {
  await db.transaction(async (tx) => {
    if (await recordRequeue(tx, claim)) await queue.enqueueEvaluation(tx, claim.id);
  });
}
