import type { ControlFields } from "./kernel-data.ts";

/*
 * What feature_gradient.wgsl must give, in float64, entry by entry from the formulas at the heads of gpu/sae/*.ts. Errors,
 * activation bits and norms are inputs here as they are there, so that the kernel is judged by itself.
 */

export type Rule =
  | { base: "fixed" }
  | { base: "nested"; widths: readonly number[] }
  | { base: "multi" }
  | { base: "standard"; p: number }
  | { base: "gated" }
  | {
      base: "jumprelu";
      penalty: "tanh" | "step" | "quadratic";
      bandwidth: number;
      tanh_scale: number;
      pre_act: number;
      target_l0: number;
    };

export interface GradientProblem {
  rule: Rule;
  rows: number;
  d_sae: number;
  width_in: number;
  /** Columns of a hook point of the output, and how many there are. */
  width_out: number;
  points: number;
  unit_decoder: boolean;
  x: Float32Array;
  z: Float32Array;
  W_dec: Float32Array;
  /** Regions of [rows, points · width_out]; AuxK's are the last. */
  errors: readonly Float32Array[];
  /** Rows of [d_sae]: b_gate, b_mag, r_mag, or b_enc, threshold. */
  parameters: readonly Float32Array[];
  control: ControlFields;
  /** Whether the bit is set in the first plane, in the second, and in AuxK's. */
  first: (t: number, f: number) => boolean;
  second: (t: number, f: number) => boolean;
  aux: readonly ((t: number, f: number) => boolean)[];
}

export interface Gradients {
  gW_enc: Float64Array;
  gW_dec: Float64Array;
  /** Of the parameters, each [d_sae]; then, of gated, Σ dz. */
  parameters: Float64Array[];
  dz: Float64Array;
  sparsity: Float64Array;
  auxiliary: Float64Array;
}

/**
 * @param sizes the same expressions of absolute values: every input without its sign, every difference a sum. Which
 * entries there are and what kind is still decided by the numbers themselves.
 */
export function referenceGradients(problem: GradientProblem, sizes = false): Gradients {
  const { rule, rows: B, d_sae, width_in, points, control, errors, parameters } = problem;
  const output = points * problem.width_out;
  const minus = sizes ? 1 : -1;
  const of = (value: number) => (sizes ? Math.abs(value) : value);
  const W = (f: number, c: number) => of(problem.W_dec[f * output + c]!);
  const result: Gradients = {
    gW_enc: new Float64Array(d_sae * width_in),
    gW_dec: new Float64Array(d_sae * output),
    parameters: parameters.map(() => new Float64Array(d_sae)),
    dz: new Float64Array(d_sae),
    sparsity: new Float64Array(d_sae),
    auxiliary: new Float64Array(d_sae),
  };
  const share = control.coefficient / B;

  for (let f = 0; f < d_sae; f++) {
    const pointNorms = Array.from({ length: points }, (_, m) => {
      const start = f * output + m * problem.width_out;
      return Math.hypot(...problem.W_dec.subarray(start, start + problem.width_out));
    });
    const norm = pointNorms.reduce((a, b) => a + b);
    let pull = 0;
    const slopeOf = (t: number, region: number) => {
      let product = 0;
      for (let c = 0; c < output; c++) product += W(f, c) * of(errors[region]![t * output + c]!);
      return (2 / B) * product;
    };
    /** One entry: gradient dz at the pre-activation, and what the decoder row was multiplied by. */
    const enter = (t: number, region: number, dz: number, value: number) => {
      result.dz[f]! += dz;
      for (let c = 0; c < width_in; c++) {
        result.gW_enc[f * width_in + c]! += dz * of(problem.x[t * width_in + c]!);
      }
      for (let c = 0; c < output; c++) {
        result.gW_dec[f * output + c]! += (2 / B) * value * of(errors[region]![t * output + c]!);
      }
    };
    const dead = control.dead.includes(f);

    for (let t = 0; t < B; t++) {
      const raw = problem.z[t * d_sae + f]!;
      const [first, second] = [problem.first(t, f), problem.second(t, f)];
      switch (rule.base) {
        case "fixed":
          if (first) enter(t, 0, slopeOf(t, 0), raw);
          break;
        case "nested": {
          const level = rule.widths.findIndex((width) => f < width);
          const region = rule.widths.length - 1 - level;
          if (first) enter(t, region, slopeOf(t, region), raw);
          break;
        }
        case "multi":
          if (first) enter(t, 1, slopeOf(t, 1), raw);
          else if (second) enter(t, 2, slopeOf(t, 2), raw);
          break;
        case "standard": {
          if (!first) break;
          const length = control.token_norms[t]!;
          const steepness = rule.p === 1 ? 1 : length === 0 ? 0 : ((raw * norm) / length) ** (rule.p - 1);
          enter(t, 0, slopeOf(t, 0) + share * steepness * norm, raw);
          pull += share * steepness * raw;
          result.sparsity[f]! += steepness * raw * norm;
          break;
        }
        case "gated": {
          const [b_gate, b_mag, r_mag] = parameters.map((row) => row[f]!);
          const gain = Math.exp(r_mag!);
          if (first) {
            const slope = slopeOf(t, 0);
            enter(t, 0, slope * gain, of(raw) * gain + of(b_mag!));
            result.parameters[1]![f]! += slope;
            result.parameters[2]![f]! += slope * of(raw) * gain;
          }
          if (second) {
            const gate = of(raw) + of(b_gate!);
            const dz = slopeOf(t, 1) + share * norm;
            enter(t, 1, dz, 0);
            result.parameters[0]![f]! += dz;
            pull += share * gate;
            result.sparsity[f]! += gate * norm;
          }
          break;
        }
        case "jumprelu": {
          const theta = parameters[1]![f]!;
          const above = raw > theta;
          const value = above ? raw : 0;
          const kernel = Math.abs(raw - theta) < rule.bandwidth / 2 ? 1 / rule.bandwidth : 0;
          let [dz, gTheta] = [0, 0];
          if (above || kernel > 0) {
            let df = slopeOf(t, 0);
            if (rule.penalty === "tanh") {
              const squashed = Math.tanh(rule.tanh_scale * value * norm);
              const steepness = share * rule.tanh_scale * (1 + minus * squashed ** 2);
              df += steepness * norm;
              pull += steepness * value;
              result.sparsity[f]! += squashed;
            }
            if (above) dz += df;
            gTheta += minus * theta * kernel * df;
          }
          if (rule.penalty === "step") {
            gTheta += minus * share * kernel;
            result.sparsity[f]! += above ? 1 : 0;
          }
          if (rule.penalty === "quadratic") {
            const off = control.n_active / B / rule.target_l0 + minus;
            gTheta += (minus * 2 * share * kernel * off) / rule.target_l0;
          }
          if (dead && raw < theta && rule.pre_act > 0) {
            const weight = rule.pre_act / B;
            const below = theta + minus * of(raw);
            dz += minus * weight * norm;
            gTheta += weight * norm;
            pull += weight * below;
            result.auxiliary[f]! += below * norm;
          }
          enter(t, 0, dz, value);
          result.parameters[1]![f]! += gTheta;
          break;
        }
      }
      problem.aux.forEach((active, level) => {
        const region = errors.length - problem.aux.length + level;
        if (control.n_dead > 0 && active(t, f)) enter(t, region, slopeOf(t, region), of(raw));
      });
    }

    for (let c = 0; c < output; c++) {
      const own = pointNorms[Math.floor(c / problem.width_out)]!;
      if (own > 0) result.gW_dec[f * output + c]! += (pull / own) * W(f, c);
    }
    if (problem.unit_decoder) {
      let along = 0;
      for (let c = 0; c < output; c++) along += result.gW_dec[f * output + c]! * W(f, c);
      for (let c = 0; c < output; c++) result.gW_dec[f * output + c]! += minus * along * W(f, c);
    }
  }
  if (rule.base !== "gated") result.parameters[0]!.set(result.dz);
  return result;
}
