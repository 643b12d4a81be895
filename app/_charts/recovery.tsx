import type { Recovery } from "../../gpu/metrics/recovery.ts";
import type { Evaluation } from "../../gpu/sae/trainer.ts";
import { formatCompact, formatCount, formatMetric, formatPercent } from "../_ui/format.ts";
import { metricDefinitions } from "./metric-definitions.ts";
import { type Tile, Tiles } from "./metric-tiles.tsx";

/** How many of the true features were found, against the generator's ground truth. */
export function RecoveryTiles({ recovery }: { recovery: Recovery }) {
  const fraction = (value: number) => value.toFixed(3);
  const tiles: Tile[] = [
    {
      label: "MCC",
      explanation: {
        help: "Mean correlation coefficient: decoder rows and true features are paired one to one so that their cosines are largest; MCC is the mean of the pairs' |cos|. 1 means that every direction was found.",
        formula: "max over pairings of mean |cos(w_i, t_j)|",
        source: "O'Neill et al., arXiv 2505.20254",
      },
      value: fraction(recovery.mcc),
    },
    {
      label: "F1",
      explanation: {
        help: "How well a latent fires exactly when its true feature does: the harmonic mean of precision and recall, averaged over the latents.",
        formula: "2 · precision · recall / (precision + recall)",
        source: "SAELens synthetic",
      },
      value: fraction(recovery.f1),
    },
    {
      label: "Precision",
      explanation: {
        help: "Of the tokens on which a latent fires, the share on which its true feature fires too.",
      },
      value: fraction(recovery.precision),
    },
    {
      label: "Recall",
      explanation: {
        help: "Of the tokens on which a true feature fires, the share on which its latent fires too.",
      },
      value: fraction(recovery.recall),
    },
    {
      label: "Uniqueness",
      explanation: {
        help: "Share of latents that follow a true feature of their own. Below 1, several latents follow the same one.",
        formula: "distinct best-matching true features / latents",
        source: "SAELens synthetic",
      },
      value: fraction(recovery.uniqueness),
    },
    {
      label: "True features",
      explanation: { help: "Directions in the generator, all of which are known." },
      value: formatCount(recovery.n_features),
    },
  ];
  return <Tiles label="Recovery of the true features" tiles={tiles} />;
}

/** The finished dictionary measured over fresh or whole data. */
export function EvaluationTiles({
  evaluation,
  d_sae,
}: {
  evaluation: Omit<Evaluation, "feature_frequency">;
  d_sae: number;
}) {
  const tiles: Tile[] = [
    { label: "FVU", explanation: metricDefinitions.fvu.explanation, value: formatMetric(evaluation.fvu) },
    {
      label: "Explained variance",
      explanation: metricDefinitions.explained_variance.explanation,
      value: formatMetric(evaluation.explained_variance),
    },
    {
      label: "MSE",
      explanation: metricDefinitions.mse_loss.explanation,
      value: formatMetric(evaluation.mse),
    },
    { label: "L0", explanation: metricDefinitions.l0.explanation, value: evaluation.l0.toFixed(2) },
    {
      label: "Silent features",
      explanation: { help: "Features that fired on none of the evaluated tokens." },
      value: formatCount(evaluation.dead_features),
      detail: formatPercent(evaluation.dead_features / d_sae),
    },
    {
      label: "Evaluated on",
      explanation: {
        help: "Tokens over which these figures were measured, after training, with no weight touched.",
      },
      value: formatCompact(evaluation.tokens),
      detail: "tokens",
    },
  ];
  return <Tiles label="Final evaluation" tiles={tiles} />;
}
