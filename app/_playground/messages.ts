import type { SyntheticConfig } from "../../gpu/data/synthetic.ts";
import type { Capabilities } from "../../gpu/device/gpu.ts";
import type { Recovery } from "../../gpu/metrics/recovery.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { Evaluation, MemoryPlan, StepMetrics } from "../../gpu/sae/trainer.ts";

/** What the page asks of the tab's trainer. */
export type ToTrainer =
  | { type: "start"; config: TrainingConfig; synthetic: SyntheticConfig }
  | { type: "stop" };

/** What the tab's trainer tells the page, in this order; `failed` may come at any point and is the last. */
export type FromTrainer =
  | { type: "opened"; capabilities: Capabilities; memory: MemoryPlan; total_steps: number }
  | { type: "metrics"; rows: StepMetrics[] }
  | { type: "evaluating"; outcome: "completed" | "stopped" }
  | { type: "finished"; evaluation: Omit<Evaluation, "feature_frequency">; recovery: Recovery }
  | { type: "failed"; message: string; missing: boolean };
