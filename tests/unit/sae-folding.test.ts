import { describe, expect, it } from "vitest";
import { normals } from "../../gpu/data/random.ts";
import { foldDecoderNorm, foldNormalization } from "../../gpu/sae/folding.ts";
import { encode, reconstruct } from "../../gpu/sae/inference.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { saeFaults } from "../../gpu/sae/sae-shapes.ts";
import { largestDifference, randomRows, randomSae } from "../reference/random-sae.ts";

const activations: Record<string, Partial<SaeConfig>> = {
  relu: {},
  gated: { activation: "gated" },
  jumprelu: { activation: "jumprelu" },
  topk: { activation: "topk" },
  "topk by the decoder's norm": { activation: "topk", rescale_acts_by_decoder_norm: true },
};
const frames: Record<string, Partial<SaeConfig>> = {
  "with b_dec at the input": {},
  "without b_dec at the input": { apply_b_dec_to_input: false },
  "with b_dec at the input and a skip connection": { skip: true },
  "as a transcoder": { apply_b_dec_to_input: false, transcoder: true, d_out: 4 },
  "as a skip transcoder": { apply_b_dec_to_input: false, transcoder: true, skip: true, d_out: 4 },
  "as a crosscoder": { apply_b_dec_to_input: false, n_hook_points: 3 },
  "as a crosscoder with b_dec at the input": { n_hook_points: 2 },
};
const kinds = Object.entries(activations).flatMap(([activation, a]) =>
  Object.entries(frames).map(([frame, b]): [string, Partial<SaeConfig>] => [
    `${activation} ${frame}`,
    { ...a, ...b },
  ]),
);

/** float32 keeps seven figures; sums of some tens of numbers of size 10 lose one or two. */
const rounding = 3e-5;
const n = 40;
const seeds = [1, 2, 3];

describe("folding the normalisation of training leaves the function on raw activations", () => {
  it.each(kinds)("%s", (_, kind) => {
    for (const seed of seeds) {
      const sae = randomSae(kind, seed);
      const { d_in, d_out, n_hook_points, transcoder } = sae.config;
      const random = Float32Array.from(normals(d_in + d_out, seed, 50), (v) => 2 * v);
      const scales = [0.35, 2.5, 1.1].slice(0, n_hook_points);
      const input_mean = random.subarray(0, d_in);
      const normalization = {
        input_scale: scales,
        input_mean,
        output_scale: transcoder ? [0.8] : scales,
        output_mean: transcoder ? random.subarray(d_in) : input_mean,
      };
      const folded = foldNormalization(sae, normalization);
      expect(saeFaults(folded)).toEqual([]);

      const x = Float64Array.from(randomRows(n, d_in, seed), (v, at) => 3 * v + input_mean[at % d_in]!);
      const of = <T>(perHook: T[], column: number, width: number) =>
        perHook[Math.floor((column * n_hook_points) / width)]!;
      const scaled = x.map((v, at) => of(scales, at % d_in, d_in) * (v - input_mean[at % d_in]!));
      const wanted = reconstruct(sae, scaled).map((v, at) => {
        const column = at % d_out;
        return v / of(normalization.output_scale, column, d_out) + normalization.output_mean[column]!;
      });
      expect(largestDifference(reconstruct(folded, x), wanted)).toBeLessThan(10 * rounding);
    }
  });

  it("keeps the same features and leaves the SAE it was given as it was", () => {
    const sae = randomSae({ activation: "jumprelu" });
    const before = structuredClone(sae);
    const mean = randomRows(1, 6, 9);
    const folded = foldNormalization(sae, {
      input_scale: [0.25],
      input_mean: mean,
      output_scale: [0.25],
      output_mean: mean,
    });
    expect(sae).toEqual(before);
    const x = Float64Array.from(randomRows(n, 6), (v, at) => 4 * v + mean[at % 6]!);
    const scaled = x.map((v, at) => 0.25 * (v - mean[at % 6]!));
    expect(largestDifference(encode(folded, x), encode(sae, scaled))).toBeLessThan(rounding);
    expect(folded.tensors.threshold).toEqual(sae.tensors.threshold);
    expect(folded.tensors.b_enc).toEqual(sae.tensors.b_enc);
  });

  it("does nothing at all for a scale of 1 and no mean", () => {
    for (const [, kind] of kinds) {
      const sae = randomSae(kind);
      const ones = Array.from({ length: sae.config.n_hook_points }, () => 1);
      const identity = {
        input_scale: ones,
        input_mean: new Float32Array(sae.config.d_in),
        output_scale: ones,
        output_mean: new Float32Array(sae.config.d_out),
      };
      expect(foldNormalization(sae, identity)).toEqual(sae);
    }
  });

  it("rounds once: b_dec is the float64 result to the last bit", () => {
    const sae = randomSae();
    const mean = Float32Array.from({ length: 6 }, () => 1e4);
    const same = { input_scale: [1 / 3], input_mean: mean, output_scale: [1 / 3], output_mean: mean };
    const { b_dec } = foldNormalization(sae, same).tensors;
    expect([...b_dec!.data]).toEqual([...sae.tensors.b_dec!.data].map((b) => Math.fround(b / (1 / 3) + 1e4)));
  });

  it("refuses what comes before a per-token normalisation, but for nothing at all", () => {
    const zeros = new Float32Array(6);
    const nothing = { input_scale: [1], input_mean: zeros, output_scale: [1], output_mean: zeros };
    for (const normalize_activations of ["layer_norm", "constant_norm_rescale"] as const) {
      const sae = randomSae({ normalize_activations });
      expect(foldNormalization(sae, nothing)).toEqual(sae);
      for (const something of [{ input_scale: [2], output_scale: [2] }, { input_mean: randomRows(1, 6) }]) {
        expect(() => foldNormalization(sae, { ...nothing, ...something })).toThrow(
          /before .* cannot be folded/,
        );
      }
    }
  });

  it("refuses scales and means that do not fit", () => {
    const zeros = new Float32Array(6);
    const good = { input_scale: [1], input_mean: zeros, output_scale: [1], output_mean: zeros };
    for (const bad of [
      { input_scale: [1, 1] },
      { output_scale: [0] },
      { input_scale: [Number.NaN] },
      { output_scale: [Number.POSITIVE_INFINITY] },
      { input_mean: new Float32Array(5) },
      { output_mean: new Float32Array(7) },
    ]) {
      expect(() => foldNormalization(randomSae(), { ...good, ...bad })).toThrow(RangeError);
    }
  });
});

describe("folding decoder norms leaves the function", () => {
  const within: [string, Partial<SaeConfig>] = [
    "jumprelu within a layer norm",
    { activation: "jumprelu", normalize_activations: "layer_norm" },
  ];
  it.each([...kinds, within])("%s", (_, kind) => {
    for (const seed of seeds) {
      const sae = randomSae(kind, seed);
      const { d_in, d_out, d_sae, activation, n_hook_points } = sae.config;
      // Norms far from 1, and a row of norm 0.
      const W_dec = sae.tensors.W_dec!.data;
      for (let at = 0; at < W_dec.length; at++) W_dec[at]! *= 0.1 + (Math.floor(at / d_out) % 7);
      W_dec.fill(0, 2 * d_out, 3 * d_out);
      const before = structuredClone(sae);
      const folded = foldDecoderNorm(sae);
      expect(sae).toEqual(before);
      expect(saeFaults(folded)).toEqual([]);
      const x = randomRows(n, d_in, seed);
      expect(largestDifference(reconstruct(folded, x), reconstruct(sae, x))).toBeLessThan(10 * rounding);
      if (n_hook_points > 1 || (activation === "topk" && !sae.config.rescale_acts_by_decoder_norm)) {
        expect(folded).toEqual(sae);
        continue;
      }
      expect(folded.config.rescale_acts_by_decoder_norm).toBe(false);
      for (let feature = 0; feature < d_sae; feature++) {
        const norm = Math.hypot(
          ...folded.tensors.W_dec!.data.subarray(feature * d_out, (feature + 1) * d_out),
        );
        expect(norm).toBeCloseTo(feature === 2 ? 0 : 1, 6);
      }
      // What TopK reports is already times the norm.
      if (activation === "topk") {
        expect(largestDifference(encode(folded, x), encode(sae, x))).toBeLessThan(10 * rounding);
      }
    }
  });
});
