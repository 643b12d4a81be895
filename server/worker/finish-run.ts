import path from "node:path";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import { saeHistograms } from "../../gpu/metrics/sae-histograms.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import type { Trainer } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { writeSaeFolder } from "../formats/sae-folder.ts";
import type { RecordedSae } from "../runs/record.ts";
import { draftPath } from "./checkpoints.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";
import type { RunActivations } from "./run-source.ts";

/** Tokens the finished SAE is judged on: enough for rates of rare features, few enough to take seconds. */
function evaluationTokens(trainer: Trainer, source: RunActivations): number {
  const wanted = Math.max(16_384, 16 * trainer.config.train_batch_size_tokens);
  return Math.min(wanted, source.activations.n_tokens ?? wanted);
}

/** What a run leaves: the SAE, and what is recorded of its folder, which stands on disk at `draft` in FACET_HOME. */
export interface FinishedSae {
  sae: Sae;
  /** After which it stands. */
  step: number;
  draft: string;
  recorded: Omit<RecordedSae, "in_model">;
}

/** Evaluates a trained SAE on the training data and writes its folder. */
export async function finishRun(
  gpu: Gpu,
  task: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
  trainer: Trainer,
  source: RunActivations,
): Promise<FinishedSae> {
  await say({ type: "progress", message: "Evaluating the SAE." });
  const { feature_frequency, ...evaluation } = await trainer.evaluate(evaluationTokens(trainer, source));
  const sae = named(await trainer.exportSae(), task);
  const recovery =
    source.synthetic === null ? null : await evaluateRecovery({ gpu, source: source.synthetic, sae });
  const relative = path.join("runs", task.runId, "sae", folderName(task.hookName));
  const draft = path.join(draftPath(task), "sae");
  const { bytes, sha256 } = await writeSaeFolder(path.join(task.home, draft), sae, {
    feature_frequency,
    runner_cfg: {
      trained_by: "facet",
      facet_version: packageJson.version,
      hook_name: task.hookName,
      hook_name_out: task.hookNameOut,
      model_name: task.modelName,
      dataset_name: task.datasetName,
      source: source.provenance,
      sae: task.config,
    },
  });
  return {
    sae,
    step: trainer.step,
    draft,
    recorded: {
      hook_name: task.hookName,
      architecture: task.config.architecture,
      config: sae.config,
      path: relative,
      bytes,
      sha256,
      evaluation,
      recovery,
      histograms: saeHistograms(sae, feature_frequency),
    },
  };
}

/** The SAE with where it comes from. */
function named(sae: Sae, { hookName, hookNameOut, modelName, datasetName }: TrainingTask): Sae {
  const metadata = {
    ...sae.config.metadata,
    hook_name: hookName,
    hook_name_out: hookNameOut,
    model_name: modelName,
    dataset_name: datasetName,
  };
  return { ...sae, config: { ...sae.config, metadata } };
}

/** Most characters of a folder's name; file systems take 255 bytes. */
const longestName = 120;

/** Hook names are free text, and those of several together long; a folder's name must stay one below its parent. */
function folderName(hookName: string): string {
  const safe = hookName.replaceAll(/[^\w.-]+/g, "_").slice(0, longestName);
  return /^\.*$/.test(safe) ? `_${safe}` : safe;
}
