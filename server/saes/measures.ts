import type { SaeEvaluation } from "../../gpu/metrics/evaluate-sae.ts";
import { frequencyHistogram, type SaeHistograms } from "../../gpu/metrics/sae-histograms.ts";

/** What is kept of an evaluation: every figure, and of the densities their histogram. */
export type SaeMeasures = Omit<SaeEvaluation, "densities"> & {
  frequency: NonNullable<SaeHistograms["frequency"]>;
};

export function measuresOf({ densities, ...figures }: SaeEvaluation): SaeMeasures {
  return { ...figures, frequency: frequencyHistogram(densities) };
}
