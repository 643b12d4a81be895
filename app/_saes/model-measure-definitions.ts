import type { ModelMeasures } from "../../server/saes/views.ts";
import { formatCount, formatMetric } from "../_ui/format.ts";
import type { Explanation } from "../_ui/info-tip.tsx";
import { furtherMeasures, type Measure, type MeasureGroup, mainMeasures } from "./measure-definitions.ts";

type ModelMeasure = Measure<ModelMeasures>;

const metric = (value: number | null) => formatMetric(value);

/** Losses are compared with each other, so all have as many decimals. */
export const nats = (value: number) => value.toFixed(4);

const stored = [...mainMeasures, ...furtherMeasures.flatMap(({ measures }) => measures)];

/** A figure that stored activations have as well, with the explanation that it has there. */
function known(label: string, value: ModelMeasure["value"]): ModelMeasure {
  const explanation = stored.find((one) => one.label === label)?.explanation;
  if (explanation === undefined) throw new Error(`No figure of stored activations is called “${label}”.`);
  return { label, explanation, value };
}

/** The figures one looks at first: what the model loses with the SAE in it. */
export const mainModelMeasures: readonly ModelMeasure[] = [
  {
    label: "Loss recovered",
    explanation: {
      help: "Of what the model loses when the hook point is zero, the part that the reconstruction keeps. 1 is no harm; 0 is as bad as nothing at all.",
      formula: "(CE_zero − CE_spliced) / (CE_zero − CE_clean)",
      source: "SAELens, SAEBench ce_loss_score",
      note: "Undefined where zero changes nothing.",
    },
    value: ({ loss_recovered }) => metric(loss_recovered),
  },
  {
    label: "ΔCE",
    explanation: {
      help: "How much worse the model predicts the next token with the reconstruction in it. Lower is better.",
      formula: "CE_spliced − CE_clean, in nats",
      source: "arXiv 2408.05147 (Gemma Scope), delta LM loss",
    },
    value: ({ delta_ce }) => nats(delta_ce),
  },
  {
    label: "KL",
    explanation: {
      help: "How far the model’s predictions move with the reconstruction in it, in the mean over predictions. 0 is the same predictions.",
      formula: "mean_t KL(p_clean ‖ p_spliced), in nats",
      source: "SAELens kl_div_with_sae",
    },
    value: ({ kl }) => nats(Math.max(0, kl)),
  },
  known("L0", ({ l0 }) => l0.toFixed(2)),
  known("Explained variance", ({ explained_variance }) => metric(explained_variance)),
];

export interface Loss {
  name: string;
  label: string;
  explanation: Explanation;
  value: (measures: ModelMeasures) => number;
}

/** The losses behind them, by what stands at the hook point. */
export const losses: readonly Loss[] = [
  {
    name: "clean",
    label: "CE clean",
    explanation: {
      help: "Next-token loss of the model as it is: cross-entropy, in the mean over predictions of tokens of text.",
      formula: "mean_t −ln p(x_t | x_<t), in nats",
      source: "SAELens ce_loss_without_sae",
    },
    value: ({ ce_clean }) => ce_clean,
  },
  {
    name: "spliced",
    label: "CE spliced",
    explanation: {
      help: "The same with the SAE’s reconstruction in the place of the activations of tokens of text. Special tokens keep theirs.",
      formula: "x̂ for x at the hook point, in nats",
      source: "SAELens ce_loss_with_sae",
    },
    value: ({ ce_spliced }) => ce_spliced,
  },
  {
    name: "mean",
    label: "CE mean",
    explanation: {
      help: "The same with the mean activation of these tokens: what a guess loses that knows nothing of the token.",
      formula: "x̄ for x at the hook point, in nats",
    },
    value: ({ ce_mean }) => ce_mean,
  },
  {
    name: "zero",
    label: "CE zero",
    explanation: {
      help: "The same with zero: what is lost when nothing comes through the hook point.",
      formula: "0 for x at the hook point, in nats",
      source: "SAELens ce_loss_with_ablation",
    },
    value: ({ ce_zero }) => ce_zero,
  },
];

/** All others, by group. */
export const furtherModelMeasures: readonly MeasureGroup<ModelMeasures>[] = [
  {
    group: "Predictions",
    measures: [
      {
        label: "Loss recovered against the mean",
        explanation: {
          help: "Loss recovered with the mean activation in the place of zero. Stricter, since the mean does less harm.",
          formula: "(CE_mean − CE_spliced) / (CE_mean − CE_clean)",
        },
        value: ({ loss_recovered_mean }) => metric(loss_recovered_mean),
      },
      {
        label: "KL recovered",
        explanation: {
          help: "Loss recovered in terms of predictions instead of the loss: 1 where they are those of the model as it is.",
          formula: "(KL_zero − KL) / KL_zero",
          source: "SAELens, SAEBench kl_div_score",
        },
        value: ({ kl_recovered }) => metric(kl_recovered),
      },
      {
        label: "KL with the mean",
        explanation: {
          help: "How far predictions move with the mean activation in the model.",
          formula: "mean_t KL(p_clean ‖ p_mean), in nats",
        },
        value: ({ kl_mean }) => nats(kl_mean),
      },
      {
        label: "KL with zero",
        explanation: {
          help: "The same with zero.",
          formula: "mean_t KL(p_clean ‖ p_zero), in nats",
          source: "SAELens kl_div_with_ablation",
        },
        value: ({ kl_zero }) => nats(kl_zero),
      },
      {
        label: "Predictions",
        explanation: { help: "Next tokens of text that losses and divergences are means over." },
        value: ({ n_predictions }) => formatCount(n_predictions),
      },
    ],
  },
  {
    group: "Reconstruction",
    measures: [
      known("FVU", ({ fvu }) => metric(fvu)),
      known("MSE", ({ mse }) => metric(mse)),
      known("Normalised MSE", ({ normalized_mse }) => metric(normalized_mse)),
      known("Cosine", ({ cossim }) => metric(cossim)),
      known("L2 ratio", ({ l2_ratio }) => metric(l2_ratio)),
    ],
  },
  {
    group: "Firing",
    measures: [known("Silent features", ({ dead_features }) => formatCount(dead_features))],
  },
];
