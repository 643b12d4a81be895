import { awaiting } from "../awaiting.ts";
import type { FromTrainer, ModelEvaluationTask } from "./messages.ts";

/** Measures an SAE in its model on held-out sequences. */
export async function evaluateInModelOf(
  _task: ModelEvaluationTask,
  _say: (message: FromTrainer) => Promise<void>,
): Promise<void> {
  awaiting("Evaluating in a model");
}
