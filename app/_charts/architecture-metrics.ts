import { type BaseArchitecture, baseOf, isTranscoder } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import {
  type MetricDefinition,
  type MetricDefinitions,
  type MetricKey,
  metricDefinitions,
  scalingSaes,
} from "./metric-definitions.ts";

// What a metric is made of depends on what is trained: here each architecture's losses get their formulas.

type Said = Partial<MetricDefinition["explanation"]> & { label?: string; short?: string };

const fixedCount: readonly BaseArchitecture[] = ["topk", "batchtopk", "matryoshka_batchtopk"];

/** Whether features are kept few by a penalty with a coefficient. */
export function hasPenalty(config: TrainingConfig): boolean {
  return !fixedCount.includes(baseOf(config));
}

/** Whether there is an auxiliary loss at all. */
export function hasAuxiliary(config: TrainingConfig): boolean {
  switch (baseOf(config)) {
    case "standard":
      return false;
    case "gated":
      return true;
    case "jumprelu":
      return config.pre_act_loss_coefficient > 0;
    default:
      return config.aux_loss_coefficient > 0 || config.multi_topk;
  }
}

/** Metrics of a training that are not zero by definition. */
export function metricApplies(key: MetricKey, config: TrainingConfig | null): boolean {
  if (config === null) return true;
  if (key === "sparsity_loss" || key === "sparsity_coefficient") return hasPenalty(config);
  return key !== "aux_loss" || hasAuxiliary(config);
}

/** Every metric in the words of what is trained. */
export function definitionsFor(config: TrainingConfig | null): MetricDefinitions {
  if (config === null) return metricDefinitions;
  const said: Partial<Record<MetricKey, Said>> = {
    loss: { formula: `loss = ${lossParts(config).join(" + ")}` },
    mse_loss: error(config),
    sparsity_loss: penalty(config),
    aux_loss: auxiliary(config),
    l0: firing(config),
    ...(config.target_l0 !== null && hasPenalty(config)
      ? {
          sparsity_coefficient: {
            formula: `λ_t = λ · min(1, t / W) · steering, until L0 is ${config.target_l0}`,
          },
        }
      : {}),
    ...(isTranscoder(config.architecture) ? ofTarget : {}),
  };
  return Object.fromEntries(
    Object.entries(metricDefinitions).map(([key, definition]: [string, MetricDefinition]) => {
      const { label, short, ...explanation } = said[key as MetricKey] ?? {};
      return [
        key,
        {
          ...definition,
          ...(label ? { label } : {}),
          ...(short ? { short } : {}),
          explanation: { ...definition.explanation, ...explanation },
        },
      ];
    }),
  ) as unknown as MetricDefinitions;
}

function lossParts(config: TrainingConfig): string[] {
  return [
    "mse_loss",
    ...(hasPenalty(config) ? ["sparsity_loss"] : []),
    ...(hasAuxiliary(config) ? ["aux_loss"] : []),
  ];
}

const ofTarget: Partial<Record<MetricKey, Said>> = {
  explained_variance: {
    help: "Share of the target's variance that the prediction explains. 1 is perfect; 0 is no better than the mean.",
    formula: "1 − mean_b ‖y − ŷ‖² / mean_b ‖y − ȳ‖²",
  },
  fvu: {
    help: "Fraction of the target's variance unexplained: what the prediction misses. Lower is better.",
    formula: "fvu = Σ ‖y − ŷ‖² / Σ ‖y − ȳ‖²",
  },
};

function error(config: TrainingConfig): Said {
  if (baseOf(config) === "matryoshka_batchtopk") {
    return {
      help: "Squared reconstruction error of every nested dictionary, summed over them and d_in, averaged over the batch.",
      formula: "mse_loss = Σ_g mean_b ‖x − x̂_g‖²",
      source: "arXiv 2503.17547; SAELens",
    };
  }
  if (isTranscoder(config.architecture)) {
    return {
      help: "Squared error of the predicted target, summed over d_out and averaged over the batch.",
      formula: "mse_loss = mean_b Σ_d (y − ŷ)²",
      source: "arXiv 2406.11944",
    };
  }
  if (config.architecture === "crosscoder") {
    return {
      help: "Squared reconstruction error, summed over the hook points and their widths, averaged over the batch.",
      formula: "mse_loss = mean_b Σ_m ‖x_m − x̂_m‖²",
      source: "Anthropic, Sparse Crosscoders, October 2024",
    };
  }
  return {};
}

function penalty(config: TrainingConfig): Said {
  const norm = config.architecture === "crosscoder" ? "Σ_m ‖W_dec,i,m‖" : "‖W_dec,i‖";
  switch (baseOf(config)) {
    case "standard":
      return {
        help: "Penalty on the size of the activations, weighted by the norms of their decoder rows.",
        formula:
          config.lp_norm === 1
            ? `sparsity_loss = λ · mean_b Σ_i f_i ${norm}`
            : `sparsity_loss = λ · mean_b (Σ_i (f_i ${norm})^p)^(1/p), p = ${config.lp_norm}`,
        source: "Anthropic, Circuits Updates, April 2024; SAELens standard",
      };
    case "gated":
      return {
        help: "Penalty on the gates' activations alone, weighted by the norms of their decoder rows.",
        formula: `sparsity_loss = λ · mean_b Σ_i max(π_i, 0) ${norm}`,
        source: "arXiv 2404.16014; SAELens gated",
      };
    case "jumprelu":
      return jumpPenalty(config, norm);
    default:
      return {};
  }
}

function jumpPenalty(config: TrainingConfig, norm: string): Said {
  switch (config.jumprelu_sparsity_loss_mode) {
    case "step":
      return {
        help: "Penalty on the number of active features, the L0 itself.",
        formula: "sparsity_loss = λ · mean_b Σ_i [z_i > θ_i]",
        source: "arXiv 2407.14435; SAELens jumprelu",
      };
    case "quadratic":
      return {
        help: "Penalty on the distance of the L0 from its target.",
        formula: "sparsity_loss = λ (L0 / target_l0 − 1)²",
        source: "arXiv 2407.14435, appendix; dictionary_learning",
      };
    case "tanh":
      return {
        help: "Penalty that saturates, so that it counts features more than it shrinks them.",
        formula: `sparsity_loss = λ · mean_b Σ_i tanh(c f_i ${norm})`,
        source: "Anthropic, Circuits Updates, January 2025; SAELens jumprelu",
      };
  }
}

function auxiliary(config: TrainingConfig): Said {
  switch (baseOf(config)) {
    case "standard":
      return {};
    case "gated":
      return {
        label: "Gate loss",
        short: "Gate",
        help: "Error of the reconstruction from the gates' activations, with the decoder held constant; it teaches the gates to be large where a feature matters.",
        formula: "aux_loss = mean_b ‖x − x̂(max(π, 0))‖²",
        source: "arXiv 2404.16014",
      };
    case "jumprelu":
      return {
        label: "Pre-activation loss",
        short: "Pre-act.",
        help: "Pulls dead features back to where they fire.",
        formula: "aux_loss = λ_P · mean_b Σ_{i dead} max(θ_i − z_i, 0) ‖W_dec,i‖",
        source: "Anthropic, Circuits Updates, January 2025",
      };
    default:
      return {
        label: "AuxK",
        short: "AuxK",
        help: `Error of the dead features' own reconstruction of the residual, weighted; it teaches dead features something useful to do.${config.multi_topk ? " With Multi-TopK, also an eighth of the error with 4k features." : ""}`,
        formula: "aux_loss = a · mean_b ‖r̂ + e‖²",
        source: `${scalingSaes}, appendix A.2`,
      };
  }
}

function firing(config: TrainingConfig): Said {
  switch (baseOf(config)) {
    case "topk":
      return {
        help: "Features that fire on a token, averaged over the batch. At most k: a kept pre-activation that is not positive does not fire.",
      };
    case "batchtopk":
    case "matryoshka_batchtopk":
      return {
        help: "Features that fire on a token, averaged over the batch: k, where enough are positive.",
      };
    case "gated":
      return { formula: "l0 = mean_b |{ i : π_i > 0 and m_i > 0 }|" };
    case "jumprelu":
      return { formula: "l0 = mean_b |{ i : z_i > θ_i }|" };
    case "standard":
      return {};
  }
}
