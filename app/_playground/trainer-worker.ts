import { SyntheticSource } from "../../gpu/data/synthetic.ts";
import { openGpu } from "../../gpu/device/browser.ts";
import { NoAdapterError } from "../../gpu/device/errors.ts";
import { evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { createTrainer, type StepMetrics, type Trainer } from "../../gpu/sae/trainer.ts";
import { runTraining } from "../../gpu/sae/training-loop.ts";
import type { FromTrainer, ToTrainer } from "./messages.ts";

// The trainer of the tab, in a thread of its own: the page stays quick however busy the training is.

/** The page draws a few times a second; more messages would only be thrown away. */
const reportEveryMs = 100;

/** As many fresh tokens as the server's worker evaluates a synthetic run on. */
function evaluationTokens(config: TrainingConfig): number {
  return Math.max(16_384, 16 * config.train_batch_size_tokens);
}

let stopWanted = false;

function tell(message: FromTrainer): void {
  self.postMessage(message);
}

async function train({ config, synthetic }: Extract<ToTrainer, { type: "start" }>): Promise<void> {
  const gpu = await openGpu();
  let trainer: Trainer | null = null;
  try {
    const lost = gpu.lost.then(({ message }): never => {
      throw new Error(`The browser took the GPU away (${message}). Start again.`);
    });
    const source = new SyntheticSource(synthetic);
    trainer = await createTrainer({ gpu, config, source });
    tell({
      type: "opened",
      capabilities: gpu.capabilities,
      memory: trainer.memory,
      total_steps: trainer.totalSteps,
    });
    let rows: StepMetrics[] = [];
    let reportedAt = 0;
    const report = () => {
      if (rows.length > 0) tell({ type: "metrics", rows });
      rows = [];
      reportedAt = performance.now();
    };
    const outcome = await Promise.race([
      lost,
      runTraining(trainer, {
        checkpointEverySteps: 0,
        control: () => (stopWanted ? "stop" : "continue"),
        onMetrics: (arrived) => {
          rows.push(...arrived);
          if (performance.now() - reportedAt >= reportEveryMs) report();
        },
        // A tab keeps nothing.
        onCheckpoint: async () => undefined,
      }),
    ]);
    report();
    tell({ type: "evaluating", outcome: outcome === "completed" ? "completed" : "stopped" });
    const { feature_frequency: _frequency, ...evaluation } = await trainer.evaluate(evaluationTokens(config));
    const recovery = await evaluateRecovery({ gpu, source, sae: await trainer.exportSae() });
    tell({ type: "finished", evaluation, recovery });
  } finally {
    trainer?.close();
    gpu.close();
  }
}

self.addEventListener("message", ({ data }: MessageEvent<ToTrainer>) => {
  if (data.type === "stop") {
    stopWanted = true;
    return;
  }
  stopWanted = false;
  train(data).catch((error: unknown) => {
    tell({
      type: "failed",
      message: error instanceof Error ? error.message : String(error),
      missing: error instanceof NoAdapterError,
    });
  });
});
