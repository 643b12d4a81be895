import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import {
  featureStride,
  featureSumRows,
  type GradientConditions,
  planFeatureGradient,
} from "../../gpu/kernels/feature-gradient.ts";
import { RandomStream } from "../../gpu/sae/random.ts";
import { toHalf } from "../reference/half.ts";
import { type GradientProblem, type Rule, referenceGradients } from "./feature-gradient-reference.ts";
import { KernelBench, withCapabilities } from "./kernel-bench.ts";
import {
  bitPlane,
  type ControlFields,
  division,
  exponential,
  gamma,
  normals,
  packControl,
  power,
  range,
  squareRoot,
  worst,
} from "./kernel-data.ts";

let gpu: Gpu;
let bench: KernelBench;
beforeAll(async () => {
  gpu = await openGpu({ robust: true });
});
afterEach(() => bench.close());
afterAll(() => gpu.close());

interface Case {
  name: string;
  rule: Rule;
  rows?: number;
  d_sae?: number;
  width_in?: number;
  width_out?: number;
  points?: number;
  unit?: boolean;
  half?: boolean;
  /** AuxK's levels, and whether any feature is dead. */
  aux?: number;
  n_dead?: number;
  /** As on an adapter whose workgroups are not single subgroups. */
  barriers?: boolean;
}

type Active = (t: number, f: number) => boolean;

const jump = { base: "jumprelu", bandwidth: 0.5, tanh_scale: 4, pre_act: 0, target_l0: 3 } as const;
const fixed = { base: "fixed" } as const;
/** Each set of conditions is a pipeline of its own, and takes long to build: cases share them where they can. */
const cases: Case[] = [
  { name: "fixed count", rule: fixed, unit: true, aux: 1, n_dead: 4 },
  { name: "fixed count, no feature dead: AuxK's bits are old", rule: fixed, unit: true, aux: 1, n_dead: 0 },
  { name: "fixed count, free decoder, f16", rule: fixed, half: true },
  { name: "one number", rule: fixed, rows: 1, d_sae: 2, width_in: 1, width_out: 1, half: true },
  { name: "nested", rule: { base: "nested", widths: [3, 4, 20, 29] }, unit: true, aux: 1, n_dead: 4 },
  {
    name: "nested, AuxK at every level",
    rule: { base: "nested", widths: [3, 20, 29] },
    unit: true,
    aux: 3,
    n_dead: 4,
  },
  { name: "multi", rule: { base: "multi" }, unit: true, aux: 1, n_dead: 4 },
  { name: "standard", rule: { base: "standard", p: 1 } },
  { name: "standard, three hook points", rule: { base: "standard", p: 1 }, width_out: 13, points: 3 },
  { name: "standard, p = 2, f16", rule: { base: "standard", p: 2 }, half: true },
  { name: "standard, p = 1.5, f16", rule: { base: "standard", p: 1.5 }, half: true },
  { name: "gated, f16", rule: { base: "gated" }, unit: true, half: true },
  { name: "jumprelu, tanh", rule: { ...jump, penalty: "tanh" } },
  { name: "jumprelu, tanh, pre-activation loss", rule: { ...jump, penalty: "tanh", pre_act: 0.4 } },
  { name: "jumprelu, tanh, hook points", rule: { ...jump, penalty: "tanh" }, width_out: 10, points: 2 },
  { name: "jumprelu, step", rule: { ...jump, penalty: "step" }, unit: true },
  {
    name: "jumprelu, quadratic, pre-activation loss",
    rule: { ...jump, penalty: "quadratic", pre_act: 0.4 },
    rows: 64,
  },
];

/** Feature 0 fires always, 1 never, 2 and 3 on exactly one and two collections of entries, others at random. */
function activity(seed: number): Active {
  return (t, f) => {
    if (f < 2) return f === 0;
    if (f === 2) return t >= 20 && t < 28;
    if (f === 3) return t >= 30 && t < 46;
    return new RandomStream(seed + 1000 * t + f).uniform() < 0.25;
  };
}

/** A problem's numbers, with activations that are in keeping with its bits. */
function pose({
  rule,
  rows = 65,
  d_sae = 29,
  width_in = 37,
  width_out = 42,
  points = 1,
  unit = false,
  half = false,
  aux = 0,
  n_dead = 0,
}: Case): GradientProblem {
  const output = points * width_out;
  const x = normals(rows * width_in, 1).map((value) => (half ? toHalf(value) : value));
  const W_dec = normals(d_sae * output, 2);
  for (let f = 0; f < d_sae; f++) {
    const row = W_dec.subarray(f * output, (f + 1) * output);
    const norm = unit ? Math.hypot(...row) : 2;
    row.set(row.map((w) => w / norm));
    // A row of zeros, and of a crosscoder one hook point of zeros.
    if (!unit && f === 5) row.fill(0);
    if (points > 1 && f === 6) row.fill(0, 0, width_out);
  }
  const first = activity(7);
  const wider = activity(8);
  const second: Active = (t, f) => first(t, f) || (f !== 1 && wider(t, f));
  const size = normals(rows * d_sae, 3).map((value) => 0.01 + Math.abs(value));
  const signed = normals(rows * d_sae, 4);
  const theta = normals(d_sae, 5).map((value) => 0.3 + Math.abs(value) / 4);
  const small = (seed: number) => normals(d_sae, seed).map((value) => value / 2);
  const regions = { fixed: 1, nested: 0, multi: 3, standard: 1, gated: 2, jumprelu: 1 }[rule.base];
  const mainRegions = rule.base === "nested" ? rule.widths.length : regions;
  const control: ControlFields = {
    n_dead,
    n_active: 5 * rows,
    grad_norm: 0,
    clip: 0,
    coefficient: 1.75,
    threshold: 0,
    aux: [],
    dead: [1, 4, 28],
    token_norms: [],
  };
  const problem: GradientProblem = {
    rule,
    rows,
    d_sae,
    width_in,
    width_out,
    points,
    unit_decoder: unit,
    x,
    z: signed,
    W_dec,
    errors: range(mainRegions + aux).map((region) => normals(rows * output, 20 + region)),
    parameters: [small(6)],
    control,
    first,
    second,
    aux: range(aux).map((level) => activity(100 + level)),
  };
  const raw = (t: number, f: number) => problem.z[t * d_sae + f]!;
  switch (rule.base) {
    case "multi":
      problem.z = size.map((value, i) => (second(Math.floor(i / d_sae), i % d_sae) ? value : -value));
      return problem;
    case "gated": {
      const [b_gate, b_mag, r_mag] = [small(6), small(7), small(8)];
      b_gate.set([6, -6]);
      problem.parameters = [b_gate, b_mag, r_mag];
      problem.second = (t, f) => raw(t, f) + b_gate[f]! > 0;
      problem.first = (t, f) => problem.second(t, f) && raw(t, f) * Math.exp(r_mag[f]!) + b_mag[f]! > 0;
      return problem;
    }
    case "jumprelu":
      theta[1] = 9;
      problem.parameters = [small(6), theta];
      problem.first = (t, f) => raw(t, f) > theta[f]!;
      problem.second = (t, f) => Math.abs(raw(t, f) - theta[f]!) < rule.bandwidth / 2;
      return problem;
    default:
      problem.z = size.map((value, i) => (first(Math.floor(i / d_sae), i % d_sae) ? value : -value));
      if (rule.base !== "standard") return problem;
      // Given, not computed here; one token is said to have none.
      control.token_norms = range(rows).map((t) => (t === 4 ? 0 : Math.fround(2 + Math.abs(signed[t]!))));
      return problem;
  }
}

function conditionsOf(rule: Rule): GradientConditions {
  switch (rule.base) {
    case "fixed":
      return {};
    case "nested":
      return { nested: true };
    case "multi":
      return { multi: true };
    case "standard":
      return { standard: true, penalized: true, lp: rule.p !== 1 };
    case "gated":
      return { gated: true, penalized: true };
    case "jumprelu":
      return {
        jumprelu: true,
        [`${rule.penalty}_penalty`]: true,
        penalized: rule.penalty === "tanh" || rule.pre_act > 0,
      };
  }
}

/** Runs the kernel, with one token more in every buffer than the batch has. */
async function run(problem: GradientProblem, half: boolean) {
  const { rule, rows, d_sae, width_in, width_out, points, errors, parameters, aux } = problem;
  const stride_in = Math.ceil(width_in / 4);
  const stride_out = points * Math.ceil(width_out / 4);
  const feature_stride = featureStride(d_sae);
  const region_size = Math.ceil(((rows + 1) * stride_out) / 16) * 16;
  const plane = Math.ceil((rows + 32) / 32) * d_sae;
  const aux_plane = 2;
  const words = new Uint32Array((aux_plane + aux.length) * plane).fill(0xffffffff);
  [problem.first, problem.second, ...aux].forEach((active, number) => {
    words.set(bitPlane(rows, d_sae, active), number * plane);
  });
  const regions = new Float32Array(4 * region_size * errors.length);
  errors.forEach((error, region) => {
    const pitch = 4 * Math.ceil(width_out / 4);
    error.forEach((value, i) => {
      regions[4 * region * region_size + Math.floor(i / width_out) * pitch + (i % width_out)] = value;
    });
  });
  const rowsOf = new Float32Array(parameters.length * feature_stride);
  parameters.forEach((row, number) => {
    rowsOf.set(row, number * feature_stride);
  });
  const jumprelu = rule.base === "jumprelu" ? rule : { ...jump, penalty: "step" as const };
  const gW_enc = bench.untouched(4 * d_sae * stride_in);
  const gW_dec = bench.untouched(4 * d_sae * stride_out);
  const feature_sums = bench.untouched((parameters.length + featureSumRows) * feature_stride);
  bench.run(
    await planFeatureGradient(
      bench.context,
      {
        rows,
        d_sae,
        stride_in,
        stride_out,
        feature_stride,
        region_size,
        plane,
        widths: rule.base === "nested" ? rule.widths : [d_sae],
        aux: { levels: aux.length, region: errors.length - aux.length, plane: aux_plane },
        parameters: parameters.length,
        points,
        lp_norm: rule.base === "standard" ? rule.p : 1,
        tanh_scale: jumprelu.tanh_scale,
        bandwidth: jumprelu.bandwidth,
        pre_act: jumprelu.pre_act,
        target_l0: jumprelu.target_l0,
        unit_decoder: problem.unit_decoder,
        half,
        entries: 0,
      },
      conditionsOf(rule),
      {
        x: half ? bench.halves(problem.x, width_in) : bench.rows(problem.x, width_in),
        errors: bench.input(regions),
        words: bench.input(words),
        z: bench.input(problem.z as Float32Array<ArrayBuffer>),
        W_dec: bench.rows(problem.W_dec, width_out),
        gW_enc,
        gW_dec,
        feature_sums,
        control: bench.input(packControl(d_sae, problem.control)),
        feature_parameters: bench.input(rowsOf),
      },
    ),
  );
  const sums = await bench.f32(feature_sums);
  return {
    gW_enc: await bench.readRows(gW_enc, d_sae, width_in),
    gW_dec: await bench.readRows(gW_dec, d_sae * points, width_out),
    sums: (row: number) => sums.subarray(row * feature_stride, row * feature_stride + d_sae),
  };
}

/** Where a workgroup is one subgroup nobody waits at barriers; what is different then is the same for all cases. */
const withBarriers = cases.filter(({ name }) =>
  ["fixed count", "gated, f16", "jumprelu, tanh, pre-activation loss"].includes(name),
);

describe("feature_gradient", () => {
  test.each([
    ...cases.map((one): [string, Case] => [one.name, one]),
    ...withBarriers.map((one): [string, Case] => [`${one.name}, with barriers`, { ...one, barriers: true }]),
  ])("%s", async (_name, given) => {
    const problem = pose(given);
    const { rule, rows, d_sae, width_in, width_out, points, parameters, control } = problem;
    bench = new KernelBench(given.barriers ? withCapabilities(gpu, { subgroup_min_size: 0 }) : gpu, { rows });
    const actual = await run(problem, given.half ?? false);
    const expected = referenceGradients(problem);
    const sizes = referenceGradients(problem, true);

    // Roundings from an input to a result: a product with the error and its sum over the columns, dz, a sum over the
    // entries; for W_dec's gradient a norm, the pull along it, and one more product and sum where the decoder is unit.
    const output = points * width_out;
    const entries = rows * (2 + problem.aux.length);
    const functions =
      (rule.base === "gated" ? Math.max(...parameters[2]!.map(exponential)) : 0) +
      // tanh is off by 1e-5, which is so many roundings of 1 + tanh².
      (rule.base === "jumprelu" && rule.penalty === "tanh" ? 2e-5 / 2 ** -24 : 0) +
      (rule.base === "standard" && rule.p !== 1 ? lpRoundings(problem, rule.p) : 0);
    const norms = output + squareRoot + points;
    const bound = gamma(2 * output + entries + 2 * norms + 3 * division + 20 + functions);
    const check = (
      name: string,
      found: ArrayLike<number>,
      wanted: Float64Array,
      size: Float64Array,
      off = 0,
    ) =>
      expect(
        worst(found, wanted, (i) => bound * size[i]! + off),
        name,
      ).toBeLessThanOrEqual(1);

    check("gW_enc", actual.gW_enc, expected.gW_enc, sizes.gW_enc);
    check("gW_dec", actual.gW_dec, expected.gW_dec, sizes.gW_dec);
    parameters.forEach((_, row) => {
      check(`parameter ${row}`, actual.sums(row), expected.parameters[row]!, sizes.parameters[row]!);
    });
    const rest = parameters.length;
    const off = rule.base === "jumprelu" && rule.penalty === "tanh" ? rows * 1e-5 : 0;
    if (rule.base !== "jumprelu" || rule.penalty !== "quadratic") {
      check("sparsity", actual.sums(rest + 1), expected.sparsity, sizes.sparsity, off);
    }
    check("pre-activation loss", actual.sums(rest + 2), expected.auxiliary, sizes.auxiliary);
    if (rule.base === "gated") check("Σ dz", actual.sums(rest + 3), expected.dz, sizes.dz);

    const squares = (of: typeof expected) =>
      Float64Array.from({ length: d_sae }, (_, f) =>
        [
          ...of.gW_enc.subarray(f * width_in, (f + 1) * width_in),
          ...of.gW_dec.subarray(f * output, (f + 1) * output),
          ...of.parameters.map((row) => row[f]!),
        ].reduce((sum, g) => sum + g ** 2, 0),
      );
    const squareBound = 2 * bound + bound ** 2 + gamma(width_in + output + 8);
    const squareSizes = squares(sizes);
    expect(
      worst(actual.sums(rest), squares(expected), (f) => squareBound * squareSizes[f]!),
      "square norm",
    ).toBeLessThanOrEqual(1);

    // Feature 1 is never active: exactly nothing, but for what the pre-activation loss pulls at.
    const silent = rule.base !== "jumprelu" || rule.pre_act === 0 || !control.dead.includes(1);
    if (silent && d_sae > 2 && problem.aux.length === 0) {
      expect(actual.gW_enc.subarray(width_in, 2 * width_in).every((g) => g === 0)).toBe(true);
      expect(actual.gW_dec.subarray(output, 2 * output).every((g) => g === 0)).toBe(true);
      expect(actual.sums(rest)[1]).toBe(0);
    }
  });
});

/** Of (u / ‖u‖)^(p − 1), whose argument is a product and a quotient of what has been rounded. */
function lpRoundings({ rows, d_sae, z, W_dec, first, control }: GradientProblem, p: number): number {
  const output = W_dec.length / d_sae;
  let most = 0;
  for (let t = 0; t < rows; t++) {
    for (let f = 0; f < d_sae; f++) {
      const norm = Math.hypot(...W_dec.subarray(f * output, (f + 1) * output));
      const ratio = (z[t * d_sae + f]! * norm) / control.token_norms[t]!;
      if (first(t, f) && ratio > 0 && Number.isFinite(ratio)) most = Math.max(most, power(ratio, p - 1));
    }
  }
  return most + (p - 1) * (output + squareRoot + division + 3);
}
