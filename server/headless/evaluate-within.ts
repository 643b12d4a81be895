import type { Gpu } from "../../gpu/device/gpu.ts";
import { requireSplice, SpliceError } from "../../gpu/lm/splice-plan.ts";
import { evaluateInModel, type ModelEvaluation } from "../../gpu/metrics/evaluate-in-model.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import type { ModelFolder } from "../models/model-folder.ts";
import type { TokenSet } from "../tokens/token-set.ts";

/** A place within a model that an SAE is put into. */
export interface PlaceWithin {
  /** Where the SAE reads. */
  hook: string;
  /** Where a transcoder writes; null for what reconstructs its own input. */
  hook_out: string | null;
}

export interface WithinOptions extends PlaceWithin {
  gpu: Gpu;
  model: ModelFolder;
  tokens: TokenSet;
  sae: Sae;
  /** Most sequences. */
  n_sequences: number;
  signal?: AbortSignal;
  /** Sequences done of the stage, the mean's or the losses', and of how many. */
  onProgress?(sequences: number, of: number, stage: "mean" | "losses"): void;
}

/** Why no SAE can be put into a model at a place, of known hook points; null where one can. */
export function misplaced(
  { spec }: Pick<ModelFolder, "spec">,
  { hook, hook_out }: PlaceWithin,
): string | null {
  try {
    requireSplice(spec, hook, hook_out ?? hook);
    return null;
  } catch (error) {
    if (error instanceof SpliceError) return error.message;
    throw error;
  }
}

/** A note where what is measured on was trained on, too. */
export function notHeldOut({ manifest }: TokenSet): string | null {
  return manifest.held_out_sequences > 0
    ? null
    : "The tokens hold no sequence back from training, so it is measured on text that may have been trained on. Tokenize with --held-out to keep some apart.";
}

/** The sequences that an SAE is measured on: those held out from training, or the last of all where none is. */
export function evaluationSequences({ manifest, n_sequences }: TokenSet, most: number) {
  const apart = manifest.held_out_sequences;
  const count = Math.min(most, apart > 0 ? apart : n_sequences);
  return { first_sequence: n_sequences - (apart > 0 ? apart : count), n_sequences: count };
}

/** Measures an SAE within its language model, on text that it was not trained on as far as there is some. */
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
