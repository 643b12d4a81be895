import type { Recovery } from "../../gpu/metrics/recovery.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { Evaluation } from "../../gpu/sae/trainer.ts";
import { formatCompact, formatCount, formatMetric, formatPercent } from "../_ui/format.ts";
import { definitionsFor } from "./architecture-metrics.ts";
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
  return (
    <div className="space-y-3">
      <Tiles label="Recovery of the true features" tiles={tiles} />
      <ReconstructionTiles recovery={recovery} />
    </div>
  );
}

/** What the SAE makes of fresh samples, beside what they were made of. */
function ReconstructionTiles({ recovery }: { recovery: Recovery }) {
  const { explained_variance, shrinkage, l0, true_l0, dead_fraction, tokens } = recovery;
  // Recoveries of earlier versions have none of these.
  if (tokens === undefined) return null;
  const tiles: Tile[] = [
    {
      label: "Explained variance",
      explanation: {
        help: "Share of the samples' variance about their mean that the reconstructions have.",
        formula: "1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²)",
        source: "SAELens synthetic",
      },
      value: explained_variance.toFixed(4),
    },
    {
      label: "Shrinkage",
      explanation: {
        help: "How long reconstructions are, relative to the samples. Below 1 they are too short, as penalties on the size of activations make them.",
        formula: "E ‖x̂‖ / ‖x‖",
        source: "SAELens synthetic",
      },
      value: shrinkage.toFixed(3),
    },
    {
      label: "L0",
      explanation: {
        help: "Latents that fire on a sample, in the mean; beside it the true features that do.",
        source: "SAELens synthetic",
      },
      value: l0.toFixed(2),
      detail: `of ${true_l0.toFixed(2)} true`,
    },
    {
      label: "Dead latents",
      explanation: { help: "Latents that fired on none of the samples." },
      value: formatPercent(dead_fraction),
    },
    {
      label: "Scored on",
      explanation: { help: "Fresh samples of the generator that no training step has seen." },
      value: formatCompact(tokens),
      detail: "samples",
    },
  ];
  return <Tiles label="Reconstruction of fresh samples" tiles={tiles} />;
}

/** The finished dictionary measured over fresh or whole data. */
export function EvaluationTiles({
  evaluation,
  d_sae,
  config = null,
}: {
  evaluation: Omit<Evaluation, "feature_frequency">;
  d_sae: number;
  /** What was trained. */
  config?: TrainingConfig | null;
}) {
  const definitions = definitionsFor(config);
  const tiles: Tile[] = [
    { label: "FVU", explanation: definitions.fvu.explanation, value: formatMetric(evaluation.fvu) },
    {
      label: "Explained variance",
      explanation: definitions.explained_variance.explanation,
      value: formatMetric(evaluation.explained_variance),
    },
    {
      label: "MSE",
      explanation: definitions.mse_loss.explanation,
      value: formatMetric(evaluation.mse),
    },
    { label: "L0", explanation: definitions.l0.explanation, value: evaluation.l0.toFixed(2) },
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
