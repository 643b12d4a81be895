import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { formatBytes, formatCompact, formatCount, formatMetric } from "../_ui/format.ts";
import type { Explanation } from "../_ui/info-tip.tsx";

export type MetricKey = Exclude<keyof StepMetrics, "step">;

export interface MetricDefinition {
  label: string;
  /** Beside others in one chart. */
  short?: string;
  explanation: Explanation;
  format(value: number): string;
}

export type MetricDefinitions = Readonly<Record<MetricKey, MetricDefinition>>;

/** 3e-4, as learning rates are said. */
function formatRateOfLearning(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return rounded !== 0 && rounded < 1e-2 ? rounded.toExponential() : String(rounded);
}

export const scalingSaes = "Gao et al. 2024, arXiv 2406.04093";

/**
 * Every metric of a training step: how it is called, what it means, how it is written. What an architecture's losses are
 * made of is said by `definitionsFor`.
 */
export const metricDefinitions: MetricDefinitions = {
  loss: {
    label: "Loss",
    explanation: {
      help: "What the optimizer minimises, in the normalised space of the inputs.",
      formula: "loss = mse_loss + sparsity_loss + aux_loss",
      source: "SAELens",
    },
    format: formatMetric,
  },
  mse_loss: {
    label: "MSE",
    explanation: {
      help: "Squared reconstruction error, summed over d_in and averaged over the batch.",
      formula: "mse_loss = mean_b Σ_d (x − x̂)²",
      source: "SAELens",
    },
    format: formatMetric,
  },
  sparsity_loss: {
    label: "Sparsity loss",
    short: "Sparsity",
    explanation: {
      help: "The penalty on active features, weighted by the sparsity coefficient of the step.",
      source: "SAELens",
    },
    format: formatMetric,
  },
  aux_loss: {
    label: "Auxiliary loss",
    short: "Auxiliary",
    explanation: { help: "What else is minimised beside error and sparsity." },
    format: formatMetric,
  },
  l0: {
    label: "L0",
    explanation: {
      help: "Features that fire on a token, averaged over the batch.",
      formula: "l0 = mean_b |{ i : f_i > 0 }|",
      source: "SAELens",
    },
    format: (value) => value.toFixed(2),
  },
  explained_variance: {
    label: "Explained variance",
    explanation: {
      help: "Share of the activations' variance that the reconstruction explains. 1 is perfect; 0 is no better than the mean.",
      formula: "1 − mean_b ‖x − x̂‖² / mean_b ‖x − x̄‖²",
      source: "SAELens",
    },
    format: (value) => formatMetric(value),
  },
  fvu: {
    label: "FVU",
    explanation: {
      help: "Fraction of variance unexplained: what the reconstruction misses. Lower is better.",
      formula: "fvu = Σ ‖x − x̂‖² / Σ ‖x − x̄‖²",
      source: scalingSaes,
    },
    format: (value) => formatMetric(value),
  },
  dead_features: {
    label: "Dead features",
    explanation: {
      help: "Features that have not fired within the window of tokens set by dead_feature_window_tokens.",
      source: `${scalingSaes}, appendix A.2`,
    },
    format: formatCount,
  },
  grad_norm: {
    label: "Gradient norm",
    explanation: {
      help: "L2 norm of the gradient of all parameters together, before clipping.",
      formula: "‖∇‖₂ over all parameters",
      source: "torch.nn.utils.clip_grad_norm_",
    },
    format: formatMetric,
  },
  lr: {
    label: "Learning rate",
    explanation: { help: "Adam's step size at this step, after warm-up and decay.", source: "SAELens lr" },
    format: formatRateOfLearning,
  },
  sparsity_coefficient: {
    label: "Sparsity coefficient",
    explanation: {
      help: "Weight λ of the penalty in this step: after its warm-up over W steps, and as steered towards target_l0.",
      formula: "λ_t = λ · min(1, t / W)",
      source: "SAELens l1_coefficient, l0_coefficient",
    },
    format: formatMetric,
  },
  tokens_per_second: {
    label: "Throughput",
    explanation: {
      help: "Activation vectors trained on per second, since the metrics row before.",
      note: "tokens / s",
    },
    format: formatCompact,
  },
  tokens: {
    label: "Tokens",
    explanation: { help: "Activation vectors trained on since the start." },
    format: formatCount,
  },
  gpu_bytes: {
    label: "GPU memory",
    explanation: { help: "Bytes that the run holds on the device, from its own ledger." },
    format: formatBytes,
  },
};
