import type { Gpu } from "../../gpu/device/gpu.ts";
import { requireSpliceable, SpliceError } from "../../gpu/lm/splice-plan.ts";
import { type OpenModelAndTokens, openModelAndTokens } from "../runs/open-live.ts";
import type { RecordedSae } from "../runs/record.ts";
import { measureInModel } from "./evaluate-in-model.ts";
import type { FinishedSae } from "./finish-run.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";

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
  { sae, step }: FinishedSae,
): Promise<RecordedSae["in_model"]> {
  const { source, subject, home, hookNameOut } = task;
  if (source.kind !== "live" || subject === null || sae.config.n_hook_points > 1) return null;
  const { hooks, precision, eval_sequences: sequences } = source;
  const hookName = hooks[0]!;
  try {
    const opened = await openModelAndTokens(home, source);
    try {
      if (!canBeMeasured(hookNameOut ?? hookName, opened)) return null;
      await say({ type: "progress", message: "Evaluating the SAE in its model." });
      const result = await measureInModel(gpu, sae, opened, { hookName, hookNameOut, precision, sequences });
      return { step, subject: { ...subject, hook_name: hookName }, precision, result };
    } finally {
      await opened.close();
    }
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
function canBeMeasured(hook_out: string, { model, tokens }: OpenModelAndTokens): boolean {
  if (tokens.manifest.held_out_sequences === 0) return false;
  try {
    requireSpliceable(hook_out, model.spec.shared_norm);
    return true;
  } catch (error) {
    if (error instanceof SpliceError) return false;
    throw error;
  }
}
