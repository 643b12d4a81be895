import { baseOf } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import { nominalAuxK } from "../../gpu/sae/schedule.ts";
import { halfProductBound, halfRoundoff } from "../reference/half.ts";
import type { Context, LossAndGradients, Parameters } from "../reference/oracle.ts";
import { gamma, range } from "./kernel-data.ts";

/*
 * What precision f16 may cost a step's losses, at given weights, beside float64. u = 2^-11, η = 2^-25 (reference/half.ts).
 *
 *   z     x̄ and W_enc enter rounded: |z16 − z| <= b, halfProductBound with the bias one more term.
 *   f     Where a feature is active with z16 as with z, |f16 − f| <= d = b (gated: b exp(r_mag)). Where b leaves open
 *         whether it is, all of it may be there or not: d = |z| + b. That is where |z − θ| <= b; or, among the k largest,
 *         where z + b reaches the k-th largest of z − b, and z − b does not pass the (k + 1)-th largest of z + b.
 *   e     W_dec enters rounded, off by h = u |W_dec| + η:
 *         |e16 − e| <= D = Σ_i d_i (|W_dec[i]| + h_i) + |f_i| h_i + γ_n (sizes of all n terms), column by column.
 *   Losses: |‖e16‖² − ‖e‖²| <= 2 ‖e‖ ‖D‖ + ‖D‖² of each token, in mse_loss and in aux_loss, where AuxK's residual
 *         brings e's own D; penalties λ/B Σ d_i N_i, c times that for tanh(c f N), with f32 norms N_i.
 */

export interface LossBounds {
  mse_loss: number;
  sparsity_loss: number;
  aux_loss: number;
}

/**
 * Bounds for an SAE whose input is its target.
 * @param x normalised rows [B, d_in], as the oracle's.
 * @param pass the oracle's, at these weights.
 */
export function halfLossBounds(
  config: TrainingConfig,
  parameters: Parameters,
  context: Context,
  x: Float64Array,
  pass: LossAndGradients,
): LossBounds {
  const { d_sae } = config;
  const { z, features: f, error } = pass;
  const B = z.length / d_sae;
  const b = encoderBounds(config, parameters, x);
  const decode = (activations: Float64Array, d: Float64Array, e: Float64Array, before?: Float64Array) =>
    decoderBound(config, parameters, x, { activations, d, e, before });
  const penalty = (d: Float64Array, coefficient: number) => {
    const width = config.d_in;
    const norms = range(d_sae).map((i) =>
      Math.hypot(...parameters.W_dec!.subarray(i * width, (i + 1) * width)),
    );
    return d.reduce((sum, off, at) => sum + (coefficient / B) * off * norms[at % d_sae]!, 0);
  };
  switch (baseOf(config)) {
    case "standard": {
      // Continuous at zero: off by b at most.
      const d = b.map((bound, at) => (z[at]! > -bound ? bound : 0));
      const sparsity_loss = penalty(d, context.sparsity_coefficient);
      return { mse_loss: decode(f, d, error).bound, sparsity_loss, aux_loss: 0 };
    }
    case "jumprelu": {
      const open = (at: number) => Math.abs(z[at]! - parameters.threshold![at % d_sae]!) <= b[at]!;
      const d = b.map((bound, at) => (open(at) ? Math.abs(z[at]!) + bound : f[at] === 0 ? 0 : bound));
      const sparsity_loss = penalty(d, context.sparsity_coefficient * config.jumprelu_tanh_scale);
      return { mse_loss: decode(f, d, error).bound, sparsity_loss, aux_loss: 0 };
    }
    case "gated":
      return gatedBounds();
    default: {
      const K = config.architecture === "topk" ? context.k : Math.floor(context.k * B);
      const groups =
        config.architecture === "topk" ? range(B).map((t) => placesOf(t, range(d_sae))) : [[...z.keys()]];
      const main = decode(f, selectionBounds(z, b, groups, K, f), error);
      return { mse_loss: main.bound, sparsity_loss: 0, aux_loss: auxBound(main.off) };
    }
  }

  function placesOf(t: number, features: readonly number[]): number[] {
    return features.map((i) => t * d_sae + i);
  }

  /** z is π here: a gate that may open or not lets a whole magnitude through. */
  function gatedBounds(): LossBounds {
    const gain = parameters.r_mag!.map(Math.exp);
    const d = b.map((bound, at) => {
      const i = at % d_sae;
      const magnitude = (z[at]! - parameters.b_gate![i]!) * gain[i]! + parameters.b_mag![i]!;
      const own = bound * gain[i]!;
      if (Math.abs(z[at]!) <= bound) return Math.max(magnitude, 0) + own;
      return z[at]! > 0 && magnitude > -own ? own : 0;
    });
    const gate = z.map((value) => Math.max(value, 0));
    const gateBounds = b.map((bound, at) => (z[at]! > -bound ? bound : 0));
    const gateError = decoded(
      gate,
      x.map((value, at) => parameters.b_dec![at % config.d_in]! - value),
    );
    return {
      mse_loss: decode(f, d, error).bound,
      sparsity_loss: penalty(gateBounds, context.sparsity_coefficient),
      aux_loss: decode(gate, gateBounds, gateError).bound,
    };
  }

  function auxBound(before: Float64Array): number {
    const { dead } = context;
    const nominal = nominalAuxK(config);
    const k = Math.min(nominal, dead.length);
    if (k === 0) return 0;
    const chosen = new Float64Array(z.length);
    const groups = range(B).map((t) => placesOf(t, dead));
    for (const places of groups) {
      const order = [...places].sort((one, two) => z[two]! - z[one]!);
      for (const at of order.slice(0, k)) chosen[at] = z[at]!;
    }
    const d = selectionBounds(z, b, groups, k, chosen);
    const scale = config.aux_loss_coefficient * Math.min(dead.length / nominal, 1);
    return scale * decode(chosen, d, decoded(chosen, error), before).bound;
  }

  /** start + Σ f_i W_dec[i]. */
  function decoded(activations: Float64Array, start: Float64Array): Float64Array {
    const { d_in } = config;
    return start.map((value, at) => {
      let sum = value;
      for (let i = 0; i < d_sae; i++) {
        sum += activations[Math.floor(at / d_in) * d_sae + i]! * parameters.W_dec![i * d_in + (at % d_in)]!;
      }
      return sum;
    });
  }
}

/** b, [B, d_sae]. */
function encoderBounds(config: TrainingConfig, parameters: Parameters, x: Float64Array): Float64Array {
  const { d_in, d_sae, apply_b_dec_to_input: subtracted } = config;
  const { W_enc, b_enc, b_dec } = parameters;
  return Float64Array.from({ length: (x.length / d_in) * d_sae }, (_, at) => {
    const [t, i] = [Math.floor(at / d_sae), at % d_sae];
    let [products, sums] = [0, 0];
    for (let c = 0; c < d_in; c++) {
      const a = Math.abs(x[t * d_in + c]! - (subtracted ? b_dec![c]! : 0));
      const w = Math.abs(W_enc![i * d_in + c]!);
      products += a * w;
      sums += a + w;
    }
    // x̄ is normalised and centred in f32: three roundings more.
    return halfProductBound({ products, sums, n: d_in + 4 }) + gamma(d_in + 1) * Math.abs(b_enc?.[i] ?? 0);
  });
}

/** d where the k largest of each group of places are kept. @param kept what is kept with z itself. */
function selectionBounds(
  z: Float64Array,
  b: Float64Array,
  groups: readonly number[][],
  k: number,
  kept: Float64Array,
): Float64Array {
  const d = new Float64Array(z.length);
  for (const places of groups) {
    const falling = (of: (at: number) => number) => places.map(of).sort((one, two) => two - one);
    const reached = falling((at) => z[at]! - b[at]!)[k - 1] ?? Number.NEGATIVE_INFINITY;
    const passed = falling((at) => z[at]! + b[at]!)[k] ?? Number.NEGATIVE_INFINITY;
    for (const at of places) {
      const open = z[at]! + b[at]! >= reached && z[at]! - b[at]! <= passed;
      d[at] = open ? Math.abs(z[at]!) + b[at]! : kept[at] === 0 ? 0 : b[at]!;
    }
  }
  return d;
}

/** What ‖e‖²/B may be off by, and D, which begins with what is off `before`. */
function decoderBound(
  { d_in, d_sae }: TrainingConfig,
  { W_dec, b_dec }: Parameters,
  y: Float64Array,
  given: { activations: Float64Array; d: Float64Array; e: Float64Array; before: Float64Array | undefined },
): { bound: number; off: Float64Array } {
  const { activations, d, e } = given;
  const B = e.length / d_in;
  const off = Float64Array.from(given.before ?? new Float64Array(e.length));
  let bound = 0;
  for (let t = 0; t < B; t++) {
    let [squareOff, square] = [0, 0];
    const active = range(d_sae).filter((i) => activations[t * d_sae + i] !== 0 || d[t * d_sae + i] !== 0);
    for (let c = 0; c < d_in; c++) {
      const at = t * d_in + c;
      let size = Math.abs(y[at]!) + Math.abs(b_dec![c]!) + Math.abs(e[at]!);
      for (const i of active) {
        const [value, moved] = [Math.abs(activations[t * d_sae + i]!), d[t * d_sae + i]!];
        const w = Math.abs(W_dec![i * d_in + c]!);
        const h = halfRoundoff * w + 2 ** -25;
        off[at]! += moved * (w + h) + value * h;
        size += (value + moved) * (w + h);
      }
      off[at]! += gamma(active.length + 5) * size;
      squareOff += off[at]! ** 2;
      square += e[at]! ** 2;
    }
    bound += (2 * Math.sqrt(square * squareOff) + squareOff) / B;
  }
  return { bound, off };
}
