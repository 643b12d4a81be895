import type { Gpu } from "../../gpu/device/gpu.ts";
import { evaluateInModel, type ModelEvaluation } from "../../gpu/metrics/evaluate-in-model.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import type { ModelFolder } from "../models/model-folder.ts";
import type { TokenSet } from "../tokens/token-set.ts";

export interface WithinOptions {
  gpu: Gpu;
  model: ModelFolder;
  tokens: TokenSet;
  /** Where the SAE reads. */
  hook: string;
  /** Where a transcoder writes; null for what reconstructs its own input. */
  hook_out: string | null;
  sae: Sae;
  /** Most sequences. */
  n_sequences: number;
  signal?: AbortSignal;
  /** Sequences done of the stage, the mean's or the losses', and of how many. */
  onProgress?(sequences: number, of: number, stage: "mean" | "losses"): void;
}

/** The sequences that an SAE is measured on: those held out from training, or the last of all where none is. */
export function evaluationSequences({ manifest, n_sequences }: TokenSet, most: number) {
  const apart = manifest.held_out_sequences;
  const count = Math.min(most, apart > 0 ? apart : n_sequences);
  return { first_sequence: n_sequences - (apart > 0 ? apart : count), n_sequences: count };
}

/** Measures an SAE within its language model, on text that it was not trained on. */
export function evaluateWithin(options: WithinOptions): Promise<ModelEvaluation> {
  const { gpu, model, tokens, hook, hook_out, sae, signal, onProgress } = options;
  return evaluateInModel({
    gpu,
    spec: model.spec,
    weights: model.weights,
    tokens,
    hook,
    ...(hook_out === null ? {} : { hook_out }),
    sae,
    ...evaluationSequences(tokens, options.n_sequences),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined
      ? {}
      : { onProgress: ({ stage, sequences, n_sequences }) => onProgress(sequences, n_sequences, stage) }),
  });
}
