import { rm } from "node:fs/promises";
import path from "node:path";
import { eq } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { runs } from "../../db/schema.ts";
import type { EvaluationSubject } from "../../db/stored.ts";
import { isTranscoder } from "../../gpu/sae/architecture.ts";
import { publishFolder } from "../artifacts/atomic-folder.ts";
import { LostLeaseError } from "../errors.ts";
import type { RunQueue } from "../queue.ts";
import { interruptionLimit } from "../runs/reaper.ts";
import {
  type ClaimedRun,
  desiredState,
  recordCheckpoint,
  recordEvent,
  recordMemory,
  recordMetrics,
  recordModelEvaluation,
  recordResume,
  recordSae,
  transition,
} from "../runs/record.ts";
import type { RunSignals } from "../runs/signals.ts";
import { heldStatuses } from "../runs/state-machine.ts";
import type { DesiredState, RunStatus } from "../runs/views.ts";
import { draftPath, removeUnrecorded } from "./checkpoints.ts";
import type { FromTrainer, TrainerControl, TrainingFailure } from "./messages.ts";
import { Outbox } from "./outbox.ts";
import { describeCrash, forkTrainer, type Trainer } from "./trainer.ts";

/** A claimed run with what its SAE's metadata names. */
export interface AssignedRun extends ClaimedRun {
  /** What its SAE is measured in; null unless it trains live. */
  subject: Omit<EvaluationSubject, "hook_name"> | null;
  model_name: string | null;
  dataset_name: string | null;
}

export interface SessionOptions {
  db: Executor;
  queue: RunQueue;
  signals: RunSignals;
  home: string;
  adapter: string | null;
  /** Aborted when the worker is to end: the run is checkpointed and left for the next worker. */
  shutdown: AbortSignal;
  log(line: string): void;
}

/** A transcoder's target. */
function targetOf({ source, sets }: ClaimedRun): string | null {
  return (source.kind === "live" ? source.hooks[1] : sets[1]?.hook_name) ?? null;
}

/** How a session ended: how the trainer said it did, or what befell it. */
type Ending =
  | { type: "completed" | "paused" | "stopped" }
  | ({ type: "failed" } & TrainingFailure)
  /** The run is not this worker's any more. */
  | { type: "lost" };

const controlWords: Record<DesiredState, TrainerControl["control"]> = {
  run: "continue",
  pause: "pause",
  stop: "stop",
};

/**
 * Trains one claimed run in a forked trainer, from the claim until the run is out of this worker's hands. Everything
 * the trainer says is written under the claim's attempt; once that is someone else's, the trainer is killed.
 */
export async function trainRun(claim: AssignedRun, options: SessionOptions): Promise<void> {
  const { db, signals, shutdown, log } = options;
  const lease = { runId: claim.runId, attempt: claim.attempt };
  const over = new AbortController();
  let trainer: Trainer | null = null;
  let ending: Ending | null = null;
  const settle = (how: Ending) => {
    // A run that is someone else's is so whatever the trainer says it came to, and also while its end is being written.
    if (how.type === "lost") {
      if (ending?.type !== "lost") log(`Run ${claim.runId} is not this worker's any more.`);
      ending = how;
    }
    ending ??= how;
    if (how.type === "lost") trainer?.kill();
  };

  const publish = (draft: string, place: string) =>
    publishFolder(path.join(options.home, draft), path.join(options.home, place));

  const openOutbox = (onRefused: (error: Error) => void) =>
    new Outbox({
      writeMetrics: (rows) => recordMetrics(db, lease, rows),
      onRefused: (error) => {
        if (error instanceof LostLeaseError) settle({ type: "lost" });
        else {
          log(error.message);
          onRefused(error);
        }
      },
      onReachable: (reachable) =>
        log(reachable ? "The database answers again." : "The database does not answer; training goes on."),
    });
  let refusal: string | null = null;
  const outbox = openOutbox((error) => {
    refusal = `What the run reported cannot be stored: ${error.message}`;
    settle({ type: "failed", kind: "final", reason: refusal });
    trainer?.kill();
  });

  const onMessage = (message: FromTrainer) => {
    switch (message.type) {
      case "training":
        outbox.add(() =>
          recordResume(db, lease, message.step, (recorded) =>
            removeUnrecorded(options.home, lease, recorded),
          ),
        );
        outbox.add(() => recordMemory(db, lease, { planned_bytes: message.memory.total }));
        outbox.add(() => transition(db, claim.runId, claim.attempt, ["initializing"], "running"));
        break;
      case "metrics":
        outbox.metrics(message.rows);
        break;
      case "progress":
      case "warning":
        outbox.add(() => recordEvent(db, lease, { type: message.type, message: message.message }));
        break;
      case "evaluation":
        outbox.add(() => recordModelEvaluation(db, lease, message.evaluation));
        break;
      case "checkpoint":
        outbox.add(() =>
          recordCheckpoint(db, lease, message.checkpoint, () =>
            publish(message.draft, message.checkpoint.path),
          ),
        );
        break;
      case "sae":
        outbox.add(() => recordSae(db, lease, message.sae, () => publish(message.draft, message.sae.path)));
        break;
      case "ended":
        settle({ type: message.outcome });
        break;
      case "failed":
        settle({ type: "failed", kind: message.kind, reason: message.reason });
        break;
      case "probed":
      case "evaluating":
      case "evaluated":
      case "evaluated_in_model":
      case "capturing":
      case "captured":
        throw new Error(`A training process said “${message.type}”.`);
    }
  };

  trainer = forkTrainer(
    {
      type: "train",
      adapter: options.adapter,
      home: options.home,
      runId: claim.runId,
      name: claim.name,
      attempt: claim.attempt,
      hookName: claim.hook_name,
      hookNameOut: isTranscoder(claim.config.architecture) ? targetOf(claim) : null,
      modelName: claim.model_name,
      datasetName: claim.dataset_name,
      config: claim.config,
      source: claim.source,
      subject: claim.subject,
      checkpoints: claim.checkpoints.map(({ step, path, sha256 }) => ({ step, path, sha256 })),
    },
    onMessage,
  );
  const relaying = relayWishes(trainer, over.signal);
  const crash = describeCrash(await trainer.ended);
  settle({ type: "failed", kind: "lost", reason: crash });
  over.abort();
  await relaying;
  if (ending !== null) await conclude(ending);
  // What is in it now will never be recorded.
  await rm(path.join(options.home, draftPath(lease)), { recursive: true, force: true });

  /** Tells the trainer what the user wants of the run, and that the worker is to end. */
  async function relayWishes(to: Trainer, signal: AbortSignal): Promise<void> {
    const suspend = () => to.control("pause");
    shutdown.addEventListener("abort", suspend, { once: true });
    const wakeups = signals.subscribe(claim.runId, signal);
    let said: DesiredState = "run";
    do {
      if (shutdown.aborted) suspend();
      try {
        const desired: DesiredState = shutdown.aborted ? said : await desiredState(db, lease);
        if (desired !== said) to.control(controlWords[desired]);
        said = desired;
      } catch (error) {
        if (error instanceof LostLeaseError) settle({ type: "lost" });
        else
          log(
            `What the user wants cannot be read: ${error instanceof Error ? error.message : String(error)}`,
          );
      }
    } while (await wakeups.next());
    shutdown.removeEventListener("abort", suspend);
  }

  async function conclude(how: Ending): Promise<void> {
    switch (how.type) {
      case "lost":
        outbox.close();
        return;
      case "completed":
      case "stopped":
        outbox.add(() => finish(how.type, null));
        break;
      case "paused":
        outbox.add(pauseOrRequeue);
        break;
      case "failed":
        if (how.kind === "final") outbox.add(() => finish("failed", how.reason));
        else outbox.add(() => retryOrFail(how.reason));
        break;
    }
    await outbox.flushed();
    if (refusal === null) return;
    // The outbox has closed over it, and with it over the end.
    const last = openOutbox(() => undefined);
    last.add(() => finish("failed", refusal));
    await last.flushed();
  }

  function finish(to: RunStatus, reason: string | null): Promise<unknown> {
    return transition(db, claim.runId, claim.attempt, heldStatuses, to, reason);
  }

  /** A trainer pauses for the user, or because the worker ends, or for a pause that was withdrawn meanwhile. */
  async function pauseOrRequeue(): Promise<void> {
    const desired = await desiredState(db, lease);
    if (desired === "pause") await finish("paused", null);
    else
      await interrupt(
        shutdown.aborted ? "The worker was shut down; the run goes on from its checkpoint." : null,
      );
  }

  async function retryOrFail(reason: string): Promise<void> {
    const [row] = await db.select({ deaths: runs.interruptions }).from(runs).where(eq(runs.id, claim.runId));
    if (row !== undefined && row.deaths + 1 < interruptionLimit)
      await interrupt(`${reason} The run goes on from its checkpoint.`, { death: true });
    else
      await finish(
        "failed",
        `${reason} It was the ${interruptionLimit}th time in a row without a new checkpoint, so the run was given up; look at logs/worker.log, then retry.`,
      );
  }

  /** Leaves the run for the next worker, which may be this one. */
  async function interrupt(reason: string | null, how: { death?: boolean } = {}): Promise<void> {
    await db.transaction(async (tx) => {
      const reached = await transition(
        tx,
        claim.runId,
        claim.attempt,
        heldStatuses,
        "interrupted",
        reason,
        how,
      );
      if (reached === "interrupted") await options.queue.enqueue(tx, claim.runId, claim.attempt);
    });
  }
}
