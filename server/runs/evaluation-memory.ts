import { inModelBytes } from "../../gpu/metrics/evaluate-in-model.ts";
import { isTranscoder } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { exportedConfig } from "../../gpu/sae/export.ts";
import { stepSizes } from "../../gpu/sae/sizes.ts";
import type { MemoryPlan } from "../../gpu/sae/trainer.ts";
import type { OpenModelAndTokens } from "./open-live.ts";
import type { RunSource } from "./views.ts";

/** A live run's plan, with what an evaluation in the model takes beside the training where there are any. */
export function withEvaluation(
  plan: MemoryPlan,
  config: TrainingConfig,
  { hooks, precision, eval_every_steps, eval_sequences }: Extract<RunSource, { kind: "live" }>,
  { model, tokens }: OpenModelAndTokens,
): MemoryPlan {
  if (eval_every_steps === null) return plan;
  const bytes = inModelBytes({
    spec: model.spec,
    precision,
    hook: hooks[0]!,
    ...(isTranscoder(config.architecture) ? { hook_out: hooks[1]! } : {}),
    config: exportedConfig(config, stepSizes(config)),
    length: tokens.length,
    n_sequences: Math.min(eval_sequences, tokens.manifest.held_out_sequences),
  });
  return {
    parts: [...plan.parts, { name: "Evaluation in the model", bytes }],
    total: plan.total + bytes,
  };
}
