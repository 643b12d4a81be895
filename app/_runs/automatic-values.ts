import { type OptionName, type TrainingConfig, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { matryoshkaWidths } from "../../gpu/sae/matryoshka-batchtopk.ts";
import {
  deadFeatureWindow,
  l0WarmUpSteps,
  l1Coefficient,
  lrDecaySteps,
  lrWarmUpSteps,
  nominalAuxK,
  peakLearningRate,
  targetGain,
  twentieth,
} from "../../gpu/sae/schedule.ts";
import { writeValue } from "./schema-fields.ts";

const automatic: Partial<Record<OptionName, (config: TrainingConfig) => number | number[]>> = {
  d_out: ({ d_in }) => d_in,
  matryoshka_widths: matryoshkaWidths,
  l1_coefficient: l1Coefficient,
  l1_warm_up_steps: twentieth,
  l0_warm_up_steps: l0WarmUpSteps,
  target_l0_gain: targetGain,
  lr: peakLearningRate,
  lr_end: (config) => peakLearningRate(config) / 10,
  lr_warm_up_steps: lrWarmUpSteps,
  lr_decay_steps: lrDecaySteps,
  k_aux: nominalAuxK,
  dead_feature_window_tokens: deadFeatureWindow,
};

/**
 * What an option that is left empty comes to, as an input's placeholder says it; null where empty means none. The other
 * options may hold anything that was typed.
 */
export function automaticValue(key: string, values: object): string | null {
  const name = Object.keys(automatic).find((one): one is OptionName => one === key);
  const formula = name === undefined ? undefined : automatic[name];
  if (name === undefined || formula === undefined) return null;
  const config = trainingConfigSchema.safeParse({ ...values, [name]: null });
  return config.success ? `automatic: ${shortened(formula(config.data))}` : "automatic";
}

/** As an input would write it, with no more digits than one reads. */
function shortened(value: number | number[]): string {
  const exact = typeof value !== "number" || Number.isInteger(value);
  return writeValue(exact ? value : Number(value.toPrecision(4)));
}
