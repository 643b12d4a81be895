import path from "node:path";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { evaluateInModel } from "../../gpu/metrics/evaluate-in-model.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import { readSaeFolder } from "../formats/sae-folder.ts";
import { openModelAndTokens } from "../runs/open-live.ts";
import { type ModelMeasures, modelMeasuresOf } from "../saes/measures.ts";
import type { FromTrainer, ModelEvaluationTask } from "./messages.ts";

/** Where and on what an SAE is spliced into a model. */
export interface ModelSubject {
  /** FACET_HOME. */
  home: string;
  modelId: string;
  tokenizationId: string;
  hookName: string;
  /** Most held-out sequences to measure on. */
  sequences: number;
}

/** Measures an SAE in its model on held-out sequences, in the process that was forked for it. */
export async function evaluateTaskInModel(
  task: ModelEvaluationTask,
  say: (message: FromTrainer) => Promise<void>,
): Promise<void> {
  const { sae } = await readSaeFolder(path.join(task.home, task.path));
  const gpu = await openGpu(task.adapter === null ? {} : { adapter: task.adapter });
  try {
    const result = await measureInModel(
      gpu,
      sae,
      task,
      (progress) => void say({ type: "evaluating", progress }),
    );
    await say({ type: "evaluated_in_model", result });
  } finally {
    gpu.close();
  }
}

/** @param onProgress Hears the part done, in [0, 1]. */
export async function measureInModel(
  gpu: Gpu,
  sae: Sae,
  { home, modelId, tokenizationId, hookName, sequences }: ModelSubject,
  onProgress: (progress: number) => void,
): Promise<ModelMeasures> {
  const { model, tokens, close } = await openModelAndTokens(home, {
    model_id: modelId,
    tokenization_id: tokenizationId,
  });
  try {
    const { held_out_sequences } = tokens.manifest;
    const n_sequences = Math.min(sequences, held_out_sequences);
    const { transcoder, metadata } = sae.config;
    const result = await evaluateInModel({
      gpu,
      spec: model.spec,
      weights: model.weights,
      tokens,
      hook: hookName,
      ...(transcoder && metadata.hook_name_out !== null ? { hook_out: metadata.hook_name_out } : {}),
      sae,
      first_sequence: tokens.n_sequences - held_out_sequences,
      n_sequences,
      onProgress: ({ stage, sequences: done }) => onProgress(partDone(stage, done / n_sequences)),
    });
    return modelMeasuresOf(result, n_sequences);
  } finally {
    await close();
  }
}

/** The passes for the mean are about a fifth of the work. */
function partDone(stage: "mean" | "losses", part: number): number {
  return stage === "mean" ? part / 5 : (1 + 4 * part) / 5;
}
