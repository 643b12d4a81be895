import path from "node:path";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import { evaluateInModel } from "../../gpu/metrics/evaluate-in-model.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import { readSaeFolder } from "../formats/sae-folder.ts";
import { type OpenModelAndTokens, openModelAndTokens } from "../runs/open-live.ts";
import { type ModelMeasures, modelMeasuresOf } from "../saes/measures.ts";
import type { FromTrainer, ModelEvaluationTask } from "./messages.ts";

/** Where and on what an SAE is spliced into a model. */
export interface ModelSubject {
  hookName: string;
  /** Where a transcoder writes; null for what reconstructs its own input. */
  hookNameOut: string | null;
  /** Of the model's weights. */
  precision: Precision;
  /** Most held-out sequences to measure on. */
  sequences: number;
}

/** Measures an SAE in its model on held-out sequences, in the process that was forked for it. */
export async function evaluateTaskInModel(
  task: ModelEvaluationTask,
  say: (message: FromTrainer) => Promise<void>,
): Promise<void> {
  const { home, modelId, tokenizationId, adapter } = task;
  const { sae } = await readSaeFolder(path.join(home, task.path));
  const { transcoder, metadata } = sae.config;
  const gpu = await openGpu(adapter === null ? {} : { adapter });
  try {
    const opened = await openModelAndTokens(home, { model_id: modelId, tokenization_id: tokenizationId });
    try {
      const subject = { ...task, hookNameOut: transcoder ? (metadata.hook_name_out ?? null) : null };
      const onProgress = (progress: number) => void say({ type: "evaluating", progress });
      const result = await measureInModel(gpu, sae, opened, subject, onProgress);
      await say({ type: "evaluated_in_model", result });
    } finally {
      await opened.close();
    }
  } finally {
    gpu.close();
  }
}

/** @param onProgress Hears the part done, in [0, 1]. */
export async function measureInModel(
  gpu: Gpu,
  sae: Sae,
  { model, tokens }: OpenModelAndTokens,
  { hookName, hookNameOut, precision, sequences }: ModelSubject,
  onProgress: (progress: number) => void = () => undefined,
): Promise<ModelMeasures> {
  const { held_out_sequences } = tokens.manifest;
  const n_sequences = Math.min(sequences, held_out_sequences);
  const result = await evaluateInModel({
    gpu,
    spec: model.spec,
    weights: model.weights,
    precision,
    tokens,
    hook: hookName,
    ...(hookNameOut === null ? {} : { hook_out: hookNameOut }),
    sae,
    first_sequence: tokens.n_sequences - held_out_sequences,
    n_sequences,
    onProgress: ({ stage, sequences: done }) => onProgress(partDone(stage, done / n_sequences)),
  });
  return modelMeasuresOf(result, n_sequences);
}

/** The passes for the mean are about a fifth of the work. */
function partDone(stage: "mean" | "losses", part: number): number {
  return stage === "mean" ? part / 5 : (1 + 4 * part) / 5;
}
