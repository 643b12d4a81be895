import type { SaeMeasures } from "../../server/saes/measures.ts";
import { formatCount, formatMetric, formatPercent, noValue } from "../_ui/format.ts";
import type { Explanation } from "../_ui/info-tip.tsx";

export interface Measure<Measures = SaeMeasures> {
  label: string;
  explanation: Explanation;
  value(measures: Measures): string;
}

export interface MeasureGroup<Measures = SaeMeasures> {
  group: string;
  measures: readonly Measure<Measures>[];
}

const saebench = "SAEBench";
const metric = (value: number | null) => formatMetric(value);
const percent = (value: number) => formatPercent(value, 0);

/** The figures one looks at first. */
export const mainMeasures: readonly Measure[] = [
  {
    label: "FVU",
    explanation: {
      help: "Fraction of variance unexplained over the whole set: what the reconstruction misses. Lower is better.",
      formula: "Σ_b ‖e_b‖² / Σ_b ‖x_b − x̄‖²",
      source: "arXiv 2408.05147 (Gemma Scope)",
    },
    value: ({ reconstruction }) => metric(reconstruction.fvu),
  },
  {
    label: "L0",
    explanation: {
      help: "Features that fire on a token, in the mean.",
      formula: "mean_b |{ i : f_i > 0 }|",
      source: "SAELens",
    },
    value: ({ firing }) => firing.l0.toFixed(2),
  },
  {
    label: "Cosine",
    explanation: {
      help: "Cosine between a token's activation and its reconstruction, in the mean. 1 is the same direction.",
      formula: "mean_b ⟨x_b, x̂_b⟩ / (‖x_b‖ ‖x̂_b‖)",
      source: "SAELens, SAEBench",
    },
    value: ({ reconstruction }) => metric(reconstruction.cossim),
  },
  {
    label: "L2 ratio",
    explanation: {
      help: "Length of the reconstruction over that of the activation, in the mean. Below 1 the reconstruction shrinks.",
      formula: "mean_b ‖x̂_b‖ / ‖x_b‖",
      source: "SAELens, SAEBench",
    },
    value: ({ reconstruction }) => metric(reconstruction.l2_ratio),
  },
  {
    label: "Silent features",
    explanation: { help: "Features that fired on none of the tokens. More tokens find fewer of them." },
    value: ({ firing }) => formatCount(firing.dead_features),
  },
];

/** All others, by group. */
export const furtherMeasures: readonly MeasureGroup[] = [
  {
    group: "Reconstruction",
    measures: [
      {
        label: "MSE",
        explanation: {
          help: "Squared error, summed over the columns, in the mean over tokens.",
          formula: "mean_b ‖e_b‖²",
          source: "SAELens",
        },
        value: ({ reconstruction }) => metric(reconstruction.mse),
      },
      {
        label: "Explained variance",
        explanation: {
          help: "Share of the variance that is explained; 1 − FVU where the mean error is zero.",
          formula: "1 − Σ_d Var_b(e) / Σ_d Var_b(x)",
          source: "dictionary_learning",
        },
        value: ({ reconstruction }) => metric(reconstruction.explained_variance),
      },
      {
        label: "Explained variance, per token",
        explanation: {
          help: "The same token by token, averaged; tokens near the mean weigh as much as others.",
          formula: "mean_b (1 − ‖e_b‖² / ‖x_b − x̄‖²)",
          source: "SAELens explained_variance_legacy",
        },
        value: ({ reconstruction }) => metric(reconstruction.explained_variance_legacy),
      },
      {
        label: "Normalised MSE",
        explanation: {
          help: "Squared error over the squared length of the activation, in the mean.",
          formula: "mean_b ‖e_b‖² / ‖x_b‖²",
          source: "openai/sparse_autoencoder",
        },
        value: ({ reconstruction }) => metric(reconstruction.normalized_mse),
      },
      {
        label: "Shrinkage",
        explanation: {
          help: "Part of the length that the reconstruction loses.",
          formula: "1 − mean_b ‖x̂_b‖ / ‖x_b‖",
          source: "arXiv 2404.16014",
        },
        value: ({ reconstruction }) => metric(reconstruction.shrinkage),
      },
      {
        label: "Reconstruction bias",
        explanation: {
          help: "1 is unbiased; less is shrinkage.",
          formula: "γ = Σ_b ‖x̂_b‖² / Σ_b ⟨x_b, x̂_b⟩",
          source: "arXiv 2404.16014, section 5.2",
        },
        value: ({ reconstruction }) => metric(reconstruction.relative_reconstruction_bias),
      },
    ],
  },
  {
    group: "Firing",
    measures: [
      {
        label: "L1",
        explanation: {
          help: "Sum of a token's activations, in the mean.",
          formula: "mean_b Σ_i f_bi",
          source: "SAELens, SAEBench",
        },
        value: ({ firing }) => metric(firing.l1),
      },
      {
        label: "Mean density",
        explanation: {
          help: "Share of the tokens on which a feature fires, in the mean over features.",
          formula: "L0 / d_sae",
          source: "SAELens sparsity",
        },
        value: ({ firing }) => metric(firing.mean_density),
      },
      {
        label: "Density over 1 %",
        explanation: {
          help: "Features that fire on more than 1 % of the tokens, as a share of all; after the slash the share of all firings that are theirs.",
          source: saebench,
        },
        value: ({ firing }) => `${percent(firing.freq_over_1pct)} / ${percent(firing.activations_over_1pct)}`,
      },
      {
        label: "Density over 10 %",
        explanation: { help: "As above, for 10 % of the tokens.", source: saebench },
        value: ({ firing }) =>
          `${percent(firing.freq_over_10pct)} / ${percent(firing.activations_over_10pct)}`,
      },
    ],
  },
  {
    group: "Dictionary",
    measures: [
      {
        label: "Nearest decoder row",
        explanation: {
          help: "Cosine of a feature's decoder row with the nearest other one, in the mean; high where features are near copies.",
          formula: "mean_i max_{j ≠ i} cos(w_i, w_j)",
          source: saebench,
        },
        value: ({ dictionary }) => metric(dictionary.max_decoder_cosine),
      },
      {
        label: "Nearest encoder column",
        explanation: {
          help: "The same of the encoder.",
          formula: "mean_i max_{j ≠ i} cos(v_i, v_j)",
          source: saebench,
        },
        value: ({ dictionary }) => metric(dictionary.max_encoder_cosine),
      },
      {
        label: "Encoder with decoder",
        explanation: {
          help: "Cosine of a feature's encoder column with its decoder row, in the mean; undefined for transcoders.",
          formula: "mean_i cos(v_i, w_i)",
          source: saebench,
        },
        value: ({ dictionary }) =>
          dictionary.encoder_decoder_cosine === null ? noValue : metric(dictionary.encoder_decoder_cosine),
      },
    ],
  },
];
