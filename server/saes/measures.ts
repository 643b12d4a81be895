import type { ModelEvaluation } from "../../gpu/metrics/evaluate-in-model.ts";
import type { SaeEvaluation } from "../../gpu/metrics/evaluate-sae.ts";
import { frequencyHistogram, type SaeHistograms } from "../../gpu/metrics/sae-histograms.ts";

/** What is kept of an evaluation: every figure, and of the densities their histogram. */
export type SaeMeasures = Omit<SaeEvaluation, "densities"> & {
  frequency: NonNullable<SaeHistograms["frequency"]>;
};

export function measuresOf({ densities, ...figures }: SaeEvaluation): SaeMeasures {
  return { ...figures, frequency: frequencyHistogram(densities) };
}

/** The same of an evaluation in a model, with the number of its sequences. */
export type ModelMeasures = Omit<ModelEvaluation, "feature_frequency" | "density_histogram"> & {
  n_sequences: number;
  frequency: NonNullable<SaeHistograms["frequency"]>;
};

export function modelMeasuresOf(
  { feature_frequency: _, density_histogram, ...figures }: ModelEvaluation,
  n_sequences: number,
): ModelMeasures {
  return { ...figures, n_sequences, frequency: density_histogram };
}
