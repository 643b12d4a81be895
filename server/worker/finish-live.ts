import type { Gpu } from "../../gpu/device/gpu.ts";
import { requireSpliceable, SpliceError } from "../../gpu/lm/splice-plan.ts";
import { openModelAndTokens } from "../runs/open-live.ts";
import type { RecordedSae } from "../runs/record.ts";
import { measureInModel } from "./evaluate-in-model.ts";
import type { FinishedSae } from "./finish-run.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";

/** Held-out sequences that a finished live run's SAE is measured on: enough to compare, few enough to take seconds. */
const evaluationSequences = 64;

/** Says what a run left, after measuring a live run's SAE in its model. */
export async function sayFinished(
  gpu: Gpu,
  task: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
  finished: FinishedSae,
): Promise<void> {
  const in_model = await inModel(gpu, task, say, finished);
  await say({ type: "sae", draft: finished.draft, sae: { ...finished.recorded, in_model } });
}

/** Null for what is not measured so; the SAE is whole without it, so a failure is told and passed over. */
async function inModel(
  gpu: Gpu,
  task: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
  { sae }: FinishedSae,
): Promise<RecordedSae["in_model"]> {
  const { source, subject, home } = task;
  if (source.kind !== "live" || subject === null || sae.config.n_hook_points > 1) return null;
  const hookName = source.hooks[0]!;
  try {
    if (!(await canBeMeasured(task, source))) return null;
    await say({ type: "progress", message: "Evaluating the SAE in its model." });
    const where = {
      home,
      modelId: source.model_id,
      tokenizationId: source.tokenization_id,
      hookName,
      sequences: evaluationSequences,
    };
    const result = await measureInModel(gpu, sae, where, () => undefined);
    return { subject: { ...subject, hook_name: hookName }, result };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    await say({
      type: "warning",
      message: `The SAE could not be evaluated in its model: ${why} It is kept; evaluate it by hand.`,
    });
    return null;
  }
}

/** There is held-out text, and the pass goes through the hook point that the SAE writes to. */
async function canBeMeasured(
  { home, hookNameOut }: TrainingTask,
  source: Extract<TrainingTask["source"], { kind: "live" }>,
): Promise<boolean> {
  const { model, tokens, close } = await openModelAndTokens(home, source);
  try {
    if (tokens.manifest.held_out_sequences === 0) return false;
    requireSpliceable(hookNameOut ?? source.hooks[0]!, model.spec.shared_norm);
    return true;
  } catch (error) {
    if (error instanceof SpliceError) return false;
    throw error;
  } finally {
    await close();
  }
}
