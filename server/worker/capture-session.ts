import type { Executor } from "../../db/executor.ts";
import type { WorkProgress } from "../../db/stored.ts";
import type { CaptureProgress } from "../captures/capture.ts";
import {
  type CapturedSet,
  type ClaimedCapture,
  claimCapture,
  recordCaptured,
  recordCaptureFailure,
  recordCaptureProgress,
  requeueCapture,
} from "../captures/record.ts";
import { removeForgottenSets } from "../captures/remove-sets.ts";
import type { RunQueue } from "../queue.ts";
import type { TrainingFailure } from "./messages.ts";
import { describeCrash, forkTrainer, type Trainer } from "./trainer.ts";

export interface CaptureSessionOptions {
  db: Executor;
  queue: RunQueue;
  home: string;
  adapter: string | null;
  workerId: string;
  /** Aborted when the worker is to end: the capture is left for the next worker. */
  shutdown: AbortSignal;
  log(line: string): void;
}

/** A page shows progress this often, and a capture that was canceled ends this soon. */
const reportMs = 500;
/** Less than the silence after which a worker is taken for dead. */
const silenceMs = 8_000;

/** Does one capture in a forked process, from the claim until its row says how it went. */
export async function captureOne(id: string, options: CaptureSessionOptions): Promise<void> {
  const { db, queue, home, adapter, workerId, shutdown, log } = options;
  const claim = await claimCapture(db, id, workerId);
  if (claim === null) return;
  log(`Capture ${id}, attempt ${claim.attempt}: ${claim.name}`);
  const { modelId, tokenizationId, modelName, datasetName, sets, dtype, precision, options: asked } = claim;
  let done: { sets: CapturedSet[]; tokensPerSecond: number | null } | null = null;
  let failure: TrainingFailure | null = null;
  let progress: CaptureProgress | null = null;
  const child = forkTrainer(
    {
      ...{ type: "capture", adapter, home, modelId, tokenizationId, modelName, datasetName },
      ...{ sets, dtype, precision, options: asked },
    },
    (message) => {
      if (message.type === "capturing") progress = message.progress;
      if (message.type === "captured") done = message;
      if (message.type === "failed") failure = message;
    },
  );
  const kill = () => child.kill();
  shutdown.addEventListener("abort", kill, { once: true });
  if (shutdown.aborted) kill();
  const reporting = report(db, claim, child, () => progress);
  const ending = await child.ended;
  await reporting;
  shutdown.removeEventListener("abort", kill);
  await conclude();

  async function conclude(): Promise<void> {
    // TypeScript does not see that the messages' handler has set them.
    const captured = done as { sets: CapturedSet[]; tokensPerSecond: number | null } | null;
    const failed = failure as TrainingFailure | null;
    const mine = await concluded(captured, failed);
    if (!mine) {
      log(`Capture ${id} is not this worker's any more.`);
      // What was written after it was canceled.
      await removeForgottenSets(
        db,
        home,
        sets.map((set) => set.id),
      );
    }
  }

  async function concluded(
    captured: { sets: CapturedSet[]; tokensPerSecond: number | null } | null,
    failed: TrainingFailure | null,
  ): Promise<boolean> {
    if (captured !== null) {
      await recordCaptureProgress(db, claim!, workProgress(progress), true);
      return recordCaptured(db, claim!, captured.sets, captured.tokensPerSecond);
    }
    if (shutdown.aborted) return requeueCapture(db, queue, claim!);
    return recordCaptureFailure(db, claim!, failed?.reason ?? describeCrash(ending));
  }
}

/** Writes progress until the process has ended; kills it when the capture is not this worker's any more. */
async function report(
  db: Executor,
  claim: ClaimedCapture,
  child: Trainer,
  progress: () => CaptureProgress | null,
): Promise<void> {
  let over = false;
  const ended = child.ended.then(() => {
    over = true;
  });
  let first: number | null = null;
  let heardAt = performance.now();
  while (!over) {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([ended, new Promise<void>((resolve) => (timer = setTimeout(resolve, reportMs)))]);
    clearTimeout(timer);
    if (over) return;
    const now = progress();
    first ??= now?.tokens ?? null;
    const further = now !== null && first !== null && now.tokens > first;
    // A write that fails is made good by the next; a row that is not ours is final, and so is a silence after which
    // another worker may have taken it.
    const mine = await recordCaptureProgress(db, claim, workProgress(now), further).catch(() => null);
    if (mine !== null) heardAt = performance.now();
    if (mine === false || performance.now() - heardAt > silenceMs) child.kill();
  }
}

function workProgress(progress: CaptureProgress | null): WorkProgress | null {
  if (progress === null) return null;
  const { tokens, total_tokens, tokens_per_second } = progress;
  return {
    stage: "capturing",
    done: tokens,
    total: total_tokens,
    unit: "tokens",
    per_second: tokens_per_second,
    note: null,
  };
}
