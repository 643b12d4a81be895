import { readFile } from "node:fs/promises";
import type { ModelEvaluation } from "../../gpu/metrics/evaluate-in-model.ts";

/** How an SAE does within its language model, in single numbers. */
export type ModelFigures = Omit<ModelEvaluation, "feature_frequency" | "density_histogram">;

/** The figures without those of every feature. */
export function figuresOf({
  feature_frequency: _,
  density_histogram: __,
  ...figures
}: ModelEvaluation): ModelFigures {
  return figures;
}

/** The newest of a run's figures; null where none stand in the file. */
export async function newestModelFigures(file: string): Promise<ModelFigures | null> {
  const text = await readFile(file, "utf8").catch(() => "");
  const line = text.trimEnd().split("\n").at(-1) ?? "";
  return line === "" ? null : (JSON.parse(line) as ModelFigures);
}

/** One line for a person. */
export function withinLine(label: string, step: number, figures: ModelFigures): string {
  const { ce_clean, ce_spliced, delta_ce, loss_recovered, kl, l0 } = figures;
  const parts = [
    `loss ${ce_spliced.toPrecision(5)} with the SAE, ${ce_clean.toPrecision(5)} without (Δ ${delta_ce.toPrecision(3)})`,
    ...(loss_recovered === null ? [] : [`${(100 * loss_recovered).toFixed(2)} % recovered`]),
    `KL ${kl.toPrecision(3)}`,
    `L0 ${l0.toFixed(1)}`,
  ];
  return `${label === "" ? "" : `${label}, `}step ${step}, within the model: ${parts.join(", ")}`;
}
