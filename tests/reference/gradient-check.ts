import { expect } from "vitest";
import { baseOf, widthsOf } from "../../gpu/sae/architecture.ts";
import { type TrainingConfig, type TrainingConfigInput, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { matryoshkaWidths } from "../../gpu/sae/matryoshka-batchtopk.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { kAt, nominalAuxK } from "../../gpu/sae/schedule.ts";
import { type Context, type Held, lossAndGradients, type Parameters, parameterShapes } from "./oracle.ts";

/** Step of the central differences. */
export const h = 1e-5;

/** A configuration of odd sizes with random parameters and one batch of 5 tokens. */
export interface Example {
  config: TrainingConfig;
  parameters: Parameters;
  /** [B, input] and [B, output]. */
  x: Float64Array;
  y: Float64Array;
  context: Context;
}

export function example(
  overrides: Partial<TrainingConfigInput>,
  { seed = 7, dead = [], sparsity_coefficient = 0.6 }: Partial<Context> & { seed?: number } = {},
): Example {
  const config = trainingConfigSchema.parse({ d_in: 7, d_sae: 13, k: 3, ...overrides });
  const random = new RandomStream(seed);
  const normals = (count: number) => Float64Array.from({ length: count }, () => random.normal());
  const parameters: Parameters = {};
  for (const [name, shape] of Object.entries(parameterShapes(config))) {
    parameters[name] = normals(shape.reduce((product, length) => product * length, 1));
  }
  parameters.threshold?.forEach((value, i, all) => {
    all[i] = Math.abs(value);
  });
  const { input, output } = widthsOf(config);
  const x = normals(5 * input);
  const transcodes = config.architecture === "transcoder" || config.architecture === "skip_transcoder";
  const y = transcodes ? normals(5 * output) : x;
  return { config, parameters, x, y, context: { dead, k: kAt(config, 0), sparsity_coefficient } };
}

/** The oracle on an example. @param held constants of the losses, for finite differences. */
export function run({ parameters, x, y, config, context }: Example, held?: Held) {
  return lossAndGradients(parameters, x, y, config, held === undefined ? context : { ...context, held });
}

/**
 * The largest distance of a gradient from the central difference of `loss`, as a share of 1 + its size, by parameter.
 * Moves the parameters of the example and puts them back.
 */
export function differences(
  { parameters }: Example,
  gradients: Parameters,
  loss: () => number,
): Record<string, number> {
  const worst: Record<string, number> = {};
  for (const [name, tensor] of Object.entries(parameters)) {
    worst[name] = 0;
    for (let at = 0; at < tensor.length; at++) {
      const value = tensor[at]!;
      tensor[at] = value + h;
      const above = loss();
      tensor[at] = value - h;
      const below = loss();
      tensor[at] = value;
      const gradient = gradients[name]![at]!;
      const off = Math.abs((above - below) / (2 * h) - gradient) / (1 + Math.abs(gradient));
      worst[name] = Math.max(worst[name], off);
    }
  }
  return worst;
}

/** Everything a loss holds constant, as it is at the example's own parameters. */
export function heldAt(of: Example): Held {
  const copies = Object.entries(of.parameters).map(([name, tensor]) => [name, tensor.slice()] as const);
  return { errors: run(of).errors, decoder: Object.fromEntries(copies) };
}

/** Away from kinks, the oracle's gradients are the central differences of its loss, but for straight-through θ. */
export function expectGradients(of: Example): void {
  expect(margin(of)).toBeGreaterThan(50 * h);
  const held = heldAt(of);
  const worst = differences(of, run(of).gradients, () => run(of, held).loss);
  for (const [name, off] of Object.entries(worst)) {
    if (name !== "threshold") expect(off, name).toBeLessThan(1e-6);
  }
}

/** How far the example is from a kink of its loss: the smallest change of a pre-activation that could meet one. */
export function margin(of: Example): number {
  const { config, parameters, context } = of;
  const { z, features } = run(of);
  const { d_sae } = config;
  switch (baseOf(config)) {
    case "standard":
      return closest(z, 0);
    case "gated": {
      const { b_gate, b_mag, r_mag } = parameters;
      const m = z.map((value, at) => {
        const i = at % d_sae;
        return (value - b_gate![i]!) * Math.exp(r_mag![i]!) + b_mag![i]!;
      });
      return Math.min(closest(z, 0), closest(m, 0));
    }
    case "jumprelu":
      return closest(
        z.map((value, at) => value - parameters.threshold![at % d_sae]!),
        0,
      );
    default: {
      const ranking = ranked(of, z);
      const wider = config.multi_topk ? [4 * context.k] : [];
      const counts = baseOf(config) === "topk" ? [context.k, ...wider] : [];
      const gaps = counts.map((k) => gapPerToken(ranking, every(d_sae), d_sae, k));
      const dead = deadByLevel(of).map((some) => gapPerToken(ranking, some, d_sae, nominalAuxK(config)));
      const positive = ranking.filter((value) => value > 0);
      const whole = baseOf(config) === "topk" ? [] : [gap(positive, Math.floor(context.k * 5))];
      return Math.min(
        ...gaps,
        ...dead,
        ...whole,
        closest(z, 0),
        closest(
          features.filter((f) => f > 0),
          0,
        ),
      );
    }
  }
}

function ranked({ config, parameters }: Example, z: Float64Array): Float64Array {
  if (config.decoder_norm === "unit" || !config.rescale_acts_by_decoder_norm) return z;
  const { output } = widthsOf(config);
  const norm = (i: number) => Math.hypot(...parameters.W_dec!.subarray(i * output, (i + 1) * output));
  return z.map((value, at) => value * norm(at % config.d_sae));
}

function deadByLevel({ config, context }: Example): number[][] {
  const levels = config.use_matryoshka_aux_loss ? matryoshkaWidths(config) : [config.d_sae];
  return levels.map((width) => context.dead.filter((i) => i < width));
}

function every(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function closest(values: Float64Array, to: number): number {
  return values.reduce((least, value) => Math.min(least, Math.abs(value - to)), Number.POSITIVE_INFINITY);
}

/** The step between the k-th largest value and the next. */
function gap(values: ArrayLike<number>, k: number): number {
  const sorted = Array.from(values).sort((a, b) => b - a);
  return k > 0 && k < sorted.length ? sorted[k - 1]! - sorted[k]! : Number.POSITIVE_INFINITY;
}

function gapPerToken(ranking: Float64Array, candidates: number[], d_sae: number, k: number): number {
  const tokens = every(ranking.length / d_sae);
  return Math.min(
    ...tokens.map((t) =>
      gap(
        candidates.map((i) => ranking[t * d_sae + i]!),
        k,
      ),
    ),
  );
}
