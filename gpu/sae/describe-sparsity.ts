import { baseOf } from "./architecture.ts";
import type { TrainingConfig } from "./config.ts";
import { l1Coefficient } from "./schedule.ts";

/** What a list says about how a configuration keeps features few: "k 32", "L1 5", "target L0 20". */
export function describeSparsity(
  config: Pick<
    TrainingConfig,
    | "architecture"
    | "base_architecture"
    | "k"
    | "k_anneal_from"
    | "l1_coefficient"
    | "l0_coefficient"
    | "target_l0"
  >,
): string {
  const { k, k_anneal_from, l0_coefficient, target_l0 } = config;
  switch (baseOf(config)) {
    case "topk":
    case "batchtopk":
    case "matryoshka_batchtopk":
      return k_anneal_from === null ? `k ${k}` : `k ${k_anneal_from} to ${k}`;
    case "standard":
    case "gated":
      return target_l0 === null ? `L1 ${l1Coefficient(config)}` : `target L0 ${target_l0}`;
    case "jumprelu":
      return target_l0 === null ? `L0 coefficient ${l0_coefficient}` : `target L0 ${target_l0}`;
  }
}
