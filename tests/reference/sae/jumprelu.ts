import { backwardBias, backwardDecoder, backwardEncoder, backwardOutput, slopeOf } from "./backward.ts";
import { dot, encode, errorOf, squares } from "./linear.ts";
import { backwardNorms, penaltyNorms } from "./norms.ts";
import { tensor } from "./problem.ts";
import type { BaseResult, Problem } from "./types.ts";

/** JumpReLU with its three penalties and the pre-activation loss: gpu/sae/jumprelu.ts. */
export function jumprelu(problem: Problem): BaseResult {
  const { config, context, parameters, gradients, B, d_sae, output } = problem;
  const { jumprelu_sparsity_loss_mode: mode, jumprelu_bandwidth: bandwidth, jumprelu_tanh_scale: c } = config;
  const lambda = context.sparsity_coefficient;
  const threshold = tensor(parameters, "threshold");
  const gThreshold = tensor(gradients, "threshold");
  const W_dec = tensor(parameters, "W_dec");
  const norms = penaltyNorms(problem);
  const z = encode(problem, "b_enc");
  const fires = (at: number) => z[at]! > threshold[at % d_sae]!;
  const f = z.map((value, at) => (fires(at) ? value : 0));
  const error = errorOf(problem, f);
  const slope = slopeOf(problem, error);
  backwardOutput(problem, slope);
  backwardDecoder(problem, f, slope);

  const l0 = z.filter((_, at) => fires(at)).length / B;
  const penalty = countPenalty(problem, l0);
  const dead = new Set(context.dead);
  const dz = new Float64Array(z.length);
  const normFactors = new Float64Array(d_sae);
  let { loss: sparsity_loss } = penalty;
  let aux_loss = 0;
  z.forEach((value, at) => {
    const i = at % d_sae;
    const theta = threshold[i]!;
    const norm = norms[i]!;
    let df = dot(W_dec, i, slope, Math.floor(at / d_sae), output);
    if (mode === "tanh") {
      const saturation = Math.tanh(c * f[at]! * norm);
      const s = 1 - saturation ** 2;
      sparsity_loss += (lambda / B) * saturation;
      df += ((lambda * c) / B) * norm * s;
      normFactors[i]! += ((lambda * c) / B) * s * f[at]!;
    }
    if (fires(at)) dz[at]! += df;
    const inWindow = Math.abs((value - theta) / bandwidth) < 1 / 2;
    if (inWindow) gThreshold[i]! -= (theta / bandwidth) * df + penalty.perFiring / bandwidth;

    if (!dead.has(i) || value >= theta) return;
    const weight = config.pre_act_loss_coefficient / B;
    aux_loss += weight * (theta - value) * norm;
    dz[at]! -= weight * norm;
    gThreshold[i]! += weight * norm;
    normFactors[i]! += weight * (theta - value);
  });
  backwardNorms(problem, normFactors);
  backwardEncoder(problem, dz);
  backwardBias(problem, "b_enc", dz);
  const mse_loss = squares(error) / B;
  return { features: f, errors: [error], z, mse_loss, sparsity_loss, aux_loss, smallest_kept: null };
}

/** Penalties on the L0 itself, and their derivative by each single firing; zero with tanh. */
function countPenalty({ config, context, B }: Problem, l0: number): { loss: number; perFiring: number } {
  const lambda = context.sparsity_coefficient;
  switch (config.jumprelu_sparsity_loss_mode) {
    case "step":
      return { loss: lambda * l0, perFiring: lambda / B };
    case "quadratic": {
      const target = config.target_l0;
      if (target === null) throw new Error("The quadratic penalty needs target_l0.");
      const off = l0 / target - 1;
      return { loss: lambda * off ** 2, perFiring: (2 * lambda * off) / (target * B) };
    }
    case "tanh":
      return { loss: 0, perFiring: 0 };
  }
}
