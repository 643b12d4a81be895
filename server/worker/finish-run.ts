import path from "node:path";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import type { Trainer } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { writeSaeFolder } from "../artifacts/sae-folder.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";
import type { RunActivations } from "./run-source.ts";

/** Tokens the finished SAE is judged on: enough for rates of rare features, few enough to take seconds. */
function evaluationTokens(trainer: Trainer, source: RunActivations): number {
  const wanted = Math.max(16_384, 16 * trainer.config.train_batch_size_tokens);
  return Math.min(wanted, source.activations.n_tokens ?? wanted);
}

/** Evaluates a trained SAE, writes its folder and says so. */
export async function finishRun(
  gpu: Gpu,
  task: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
  trainer: Trainer,
  source: RunActivations,
): Promise<void> {
  await say({ type: "progress", message: "Evaluating the SAE." });
  const evaluation = await trainer.evaluate(evaluationTokens(trainer, source));
  const sae = await trainer.exportSae();
  const recovery =
    source.synthetic === null
      ? null
      : await evaluateRecovery({ gpu, source: source.synthetic, sae, config: task.config });
  const relative = path.join("runs", task.runId, "sae", folderName(task.hookName));
  const written = await writeSaeFolder(
    path.join(task.home, relative),
    sae,
    evaluation.feature_frequency,
    task.config,
    {
      hook_name: task.hookName,
      model_name: task.modelName,
      dataset_name: task.datasetName,
      source: source.provenance,
      facet_version: packageJson.version,
    },
  );
  const { feature_frequency: _, ...figures } = evaluation;
  await say({
    type: "sae",
    sae: {
      hook_name: task.hookName,
      path: relative,
      bytes: written.bytes,
      sha256: written.sha256,
      evaluation: figures,
      recovery,
    },
  });
}

/** Hook names are free text; a folder's name must stay one below its parent. */
function folderName(hookName: string): string {
  const safe = hookName.replaceAll(/[^\w.-]/g, "_");
  return /^\.*$/.test(safe) ? `_${safe}` : safe;
}
