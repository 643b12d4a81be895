import type { Gpu } from "../../gpu/device/gpu.ts";
import type { Trainer } from "../../gpu/sae/trainer.ts";
import type { OpenModelAndTokens } from "../runs/open-live.ts";
import { measureInModel } from "./evaluate-in-model.ts";
import type { FromTrainer, TrainingTask } from "./messages.ts";

/**
 * To be called after every step: measures a live run's SAE in its model where its interval says so, and tells before the
 * step's checkpoint does, so that a run that goes on from there has it. The last step is left to the end of the run,
 * which measures in any case. Training does not depend on it: when it fails that is told, and the run goes on without.
 */
export function evaluationsAtSteps(
  gpu: Gpu,
  { source, hookNameOut }: TrainingTask,
  say: (message: FromTrainer) => Promise<void>,
  trainer: Trainer,
  opened: OpenModelAndTokens | null,
): () => Promise<void> {
  if (source.kind !== "live" || source.eval_every_steps === null || opened === null) {
    return () => Promise.resolve();
  }
  const { hooks, precision, eval_sequences } = source;
  const subject = { hookName: hooks[0]!, hookNameOut, precision, sequences: eval_sequences };
  let every: number | null = source.eval_every_steps;
  return async () => {
    const { step, totalSteps } = trainer;
    if (every === null || step % every !== 0 || step === totalSteps) return;
    try {
      const sae = await trainer.exportSae();
      const { frequency: _, ...figures } = await measureInModel(gpu, sae, opened, subject);
      await say({ type: "evaluation", evaluation: { step, ...figures } });
    } catch (error) {
      every = null;
      const why = error instanceof Error ? error.message : String(error);
      await say({
        type: "warning",
        message: `The SAE could not be evaluated in its model at step ${step}: ${why} The run goes on without these evaluations.`,
      });
    }
  };
}
