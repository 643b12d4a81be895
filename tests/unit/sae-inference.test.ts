import { describe, expect, it } from "vitest";
import { decode, encode, reconstruct } from "../../gpu/sae/inference.ts";
import type { Sae, SaeConfig } from "../../gpu/sae/sae.ts";
import { saeFaults } from "../../gpu/sae/sae-shapes.ts";
import { largestDifference, randomRows, randomSae } from "../reference/random-sae.ts";

/** One row through the formulas of sae.ts, number by number. */
function plainly({ config, tensors }: Sae, x: number[]): { f: number[]; y: number[] } {
  const at = (name: string, ...index: number[]) => {
    const { shape, data } = tensors[name]!;
    return data[index.reduce((offset, i, axis) => offset * shape[axis]! + i, 0)]!;
  };
  const { d_in, d_out, d_sae, n_hook_points } = config;
  const width = d_in / n_hook_points;
  const undo: ((v: number, hook: number) => number)[] = [];
  const tilde = [...x];
  for (let hook = 0; hook < n_hook_points; hook++) {
    const part = x.slice(hook * width, (hook + 1) * width);
    const mean = part.reduce((a, b) => a + b) / width;
    const std = Math.sqrt(part.reduce((a, b) => a + (b - mean) ** 2, 0) / (width - 1));
    const norm = Math.hypot(...part);
    for (let i = 0; i < width; i++) {
      if (config.normalize_activations === "layer_norm")
        tilde[hook * width + i] = (part[i]! - mean) / (std + 1e-5);
      if (config.normalize_activations === "constant_norm_rescale")
        tilde[hook * width + i] = (part[i]! * Math.sqrt(width)) / norm;
    }
    undo.push((v) => {
      if (config.normalize_activations === "layer_norm") return v * std + mean;
      return config.normalize_activations === "constant_norm_rescale" ? (v * norm) / Math.sqrt(width) : v;
    });
  }
  const h = Array.from({ length: d_sae }, (_, i) =>
    tilde.reduce(
      (sum, v, j) => sum + (config.apply_b_dec_to_input ? v - at("b_dec", j) : v) * at("W_enc", j, i),
      0,
    ),
  );
  const norms = h.map((_, i) => Math.hypot(...Array.from({ length: d_out }, (_, j) => at("W_dec", i, j))));
  let f = h.map((product, i) => {
    if (config.activation === "gated") {
      const magnitude = product * Math.exp(at("r_mag", i)) + at("b_mag", i);
      return product + at("b_gate", i) > 0 ? Math.max(magnitude, 0) : 0;
    }
    const z = product + at("b_enc", i);
    if (config.activation === "jumprelu") return z > at("threshold", i) ? Math.max(z, 0) : 0;
    return config.rescale_acts_by_decoder_norm ? z * norms[i]! : z;
  });
  if (config.activation === "topk") {
    const kept = f.map((_, i) => i).sort((i, j) => f[j]! - f[i]! || i - j);
    f = f.map((z, i) => (kept.indexOf(i) < config.k! ? z : 0));
  }
  f = f.map((z) => Math.max(z, 0));
  const y = Array.from({ length: d_out }, (_, j) => {
    let sum = at("b_dec", j);
    for (let i = 0; i < d_sae; i++)
      sum += (config.rescale_acts_by_decoder_norm ? f[i]! / norms[i]! : f[i]!) * at("W_dec", i, j);
    if (config.skip) for (let i = 0; i < d_in; i++) sum += at("W_skip", j, i) * tilde[i]!;
    return undo[Math.floor((j * n_hook_points) / d_out)]!(sum, 0);
  });
  return { f, y };
}

const kinds: Record<string, Partial<SaeConfig>> = {
  relu: {},
  "relu without b_dec at the input": { apply_b_dec_to_input: false },
  gated: { activation: "gated" },
  jumprelu: { activation: "jumprelu" },
  topk: { activation: "topk" },
  "topk by the decoder's norm": { activation: "topk", rescale_acts_by_decoder_norm: true },
  "topk of more features than are positive": { activation: "topk", k: 11 },
  "a norm per token": { normalize_activations: "constant_norm_rescale" },
  "a layer norm per token": { activation: "topk", normalize_activations: "layer_norm" },
  "a skip transcoder": { transcoder: true, skip: true, apply_b_dec_to_input: false, d_out: 4 },
  "a gated transcoder": { activation: "gated", transcoder: true, apply_b_dec_to_input: false, d_out: 9 },
  "a crosscoder": { n_hook_points: 3, apply_b_dec_to_input: false },
  "a crosscoder with a layer norm per hook point": {
    activation: "jumprelu",
    n_hook_points: 2,
    apply_b_dec_to_input: false,
    normalize_activations: "layer_norm",
  },
  "more features than a tile holds": { activation: "topk", d_sae: 1_100, k: 30 },
};

describe("float64 inference is what sae.ts states", () => {
  it.each(Object.keys(kinds))("%s", (kind) => {
    const sae = randomSae(kinds[kind]);
    expect(saeFaults(sae)).toEqual([]);
    const n = 25;
    const x = randomRows(n, sae.config.d_in);
    const rows = Array.from({ length: n }, (_, row) =>
      plainly(sae, [...x.subarray(row * sae.config.d_in, (row + 1) * sae.config.d_in)]),
    );
    const f = encode(sae, x);
    expect(
      largestDifference(
        f,
        rows.flatMap((row) => row.f),
      ),
    ).toBeLessThan(1e-12);
    expect(f.some((v) => v > 0) && f.some((v) => v === 0)).toBe(true);
    const wanted = rows.flatMap((row) => row.y);
    expect(largestDifference(decode(sae, f, x), wanted)).toBeLessThan(1e-12);
    expect(largestDifference(reconstruct(sae, x), wanted)).toBeLessThan(1e-12);
  });

  it("gives equal pre-activations to the lower features, and never more than k", () => {
    const sae = randomSae({ activation: "topk", k: 2 });
    sae.tensors.W_enc!.data.fill(0);
    sae.tensors.b_enc!.data.set([1, 3, 1, 1, 0, -1, 1, 1, 1, 1, 1]);
    expect([...encode(sae, new Float32Array(6))]).toEqual([1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("a row of zeros and a decoder row of norm 0 give numbers, not NaN", () => {
    const sae = randomSae({
      activation: "topk",
      rescale_acts_by_decoder_norm: true,
      normalize_activations: "constant_norm_rescale",
    });
    sae.tensors.W_dec!.data.fill(0, 0, 6);
    const x = randomRows(2, 6);
    x.fill(0, 0, 6);
    const f = encode(sae, x);
    f[0] = 1;
    expect([...decode(sae, f, x)].every(Number.isFinite)).toBe(true);
    expect([...decode(sae, f, x).subarray(0, 6)]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("refuses rows that do not fit, and tensors that are not there", () => {
    const sae = randomSae();
    expect(() => encode(sae, new Float32Array(7))).toThrow(RangeError);
    expect(() => decode(sae, new Float32Array(10), new Float32Array(6))).toThrow(RangeError);
    delete sae.tensors.b_enc;
    expect(() => encode(sae, new Float32Array(6))).toThrow("b_enc should be float32 [11], but is missing");
  });
});

describe("what is wrong with an SAE is said in words", () => {
  const wrong: Record<string, [(sae: Sae) => void, RegExp]> = {
    "k above d_sae": [
      ({ config }) => Object.assign(config, { activation: "topk", k: 12 }),
      /from 1 to d_sae/,
    ],
    "k on a relu": [({ config }) => Object.assign(config, { k: 3 }), /only TopK/],
    "a transcoder with b_dec at its input": [
      ({ config }) => Object.assign(config, { transcoder: true }),
      /target/,
    ],
    "other widths without a transcoder": [({ config }) => Object.assign(config, { d_out: 4 }), /d_out is 4/],
    "hook points that do not divide d_in": [
      ({ config }) => Object.assign(config, { n_hook_points: 4 }),
      /4 hook/,
    ],
    "a missing tensor": [({ tensors }) => delete tensors.W_dec, /no W_dec/],
    "a tensor too many": [({ tensors }) => Object.assign(tensors, { b: tensors.b_enc }), /a tensor b/],
    "a wrong shape": [
      ({ tensors }) => Object.assign(tensors.W_dec!, { shape: [6, 11] }),
      /\[6, 11\] instead/,
    ],
    NaN: [({ tensors }) => Object.assign(tensors.b_dec!.data, { 2: Number.NaN }), /NaN at element 2/],
  };
  it.each(Object.keys(wrong))("%s", (name) => {
    const sae = randomSae();
    const [spoil, message] = wrong[name]!;
    spoil(sae);
    expect(saeFaults(sae).join(" ")).toMatch(message);
  });
});
