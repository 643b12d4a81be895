import type { Sae, SaeConfig } from "./sae.ts";
import { saeTensor } from "./sae-shapes.ts";

/*
 * What an SAE computes, as sae.ts states it, in float64 on the CPU: the measure for evaluation, folding and formats.
 * Rows are tokens. Throws RangeError when x is not whole rows of d_in, or a tensor is not what the configuration says.
 */

type Rows = Float32Array | Float64Array;

/** Pre-activations of a tile this wide stay in the cache, and so does its part of W_enc, while the tokens go by. */
const tileWidth = 256;

/** Features f [n, d_sae] of x [n, d_in]. */
export function encode(sae: Sae, x: Rows): Float64Array<ArrayBuffer> {
  const { config } = sae;
  const centred = normalise(config, x).rows;
  if (config.apply_b_dec_to_input) {
    const b_dec = saeTensor(sae, "b_dec");
    for (let at = 0; at < centred.length; at++) centred[at]! -= b_dec[at % config.d_in]!;
  }
  const product = timesEncoder(saeTensor(sae, "W_enc"), centred, config);
  switch (config.activation) {
    case "relu":
      return rectified(product, saeTensor(sae, "b_enc"), new Float32Array(config.d_sae));
    case "jumprelu":
      return rectified(product, saeTensor(sae, "b_enc"), saeTensor(sae, "threshold"));
    case "gated":
      return gated(product, saeTensor(sae, "b_gate"), saeTensor(sae, "b_mag"), saeTensor(sae, "r_mag"));
    case "topk":
      return largest(product, saeTensor(sae, "b_enc"), config.k ?? 0, selectionNorms(sae));
  }
}

/** Reconstruction x̂ [n, d_out] from f [n, d_sae] and the x [n, d_in] it came from. */
export function decode(sae: Sae, f: Rows, x: Rows): Float64Array<ArrayBuffer> {
  const { d_sae, d_in, d_out, n_hook_points } = sae.config;
  const normalised = normalise(sae.config, x);
  const n = normalised.rows.length / d_in;
  if (f.length !== n * d_sae) {
    throw new RangeError(`${f.length} activations are not ${n} rows of ${d_sae} features.`);
  }
  const W_dec = saeTensor(sae, "W_dec");
  const b_dec = saeTensor(sae, "b_dec");
  const norms = selectionNorms(sae);
  const W_skip = sae.config.skip ? saeTensor(sae, "W_skip") : null;
  const output = new Float64Array(n * d_out);
  const width = d_out / n_hook_points;
  for (let row = 0; row < n; row++) {
    const sum = output.subarray(row * d_out, (row + 1) * d_out);
    sum.set(b_dec);
    for (let feature = 0; feature < d_sae; feature++) {
      const activation = f[row * d_sae + feature]!;
      if (activation === 0) continue;
      // A decoder row of norm 0 says nothing, whatever its feature was scaled by.
      const weight = norms === null ? activation : activation / (norms[feature]! || Number.POSITIVE_INFINITY);
      const from = feature * d_out;
      for (let column = 0; column < d_out; column++) sum[column]! += weight * W_dec[from + column]!;
    }
    if (W_skip !== null) {
      const input = normalised.rows.subarray(row * d_in, (row + 1) * d_in);
      for (let column = 0; column < d_out; column++) {
        let product = 0;
        for (let at = 0; at < d_in; at++) product += W_skip[column * d_in + at]! * input[at]!;
        sum[column]! += product;
      }
    }
    for (let column = 0; column < d_out; column++) {
      const group = row * n_hook_points + Math.floor(column / width);
      sum[column] = sum[column]! * normalised.scale[group]! + normalised.shift[group]!;
    }
  }
  return output;
}

/** x̂ [n, d_out] of x [n, d_in]. */
export function reconstruct(sae: Sae, x: Rows): Float64Array<ArrayBuffer> {
  return decode(sae, encode(sae, x), x);
}

/** x̃ [n, d_in], and what takes a reconstruction back: times scale plus shift, [n, n_hook_points] each. */
interface Normalised {
  rows: Float64Array<ArrayBuffer>;
  scale: Float64Array;
  shift: Float64Array;
}

function normalise({ d_in, n_hook_points, normalize_activations }: SaeConfig, x: Rows): Normalised {
  if (x.length % d_in !== 0) throw new RangeError(`${x.length} numbers are not whole rows of ${d_in}.`);
  const groups = (x.length / d_in) * n_hook_points;
  const width = d_in / n_hook_points;
  const rows = Float64Array.from(x);
  const scale = new Float64Array(groups).fill(1);
  const shift = new Float64Array(groups);
  if (normalize_activations === "none") return { rows, scale, shift };
  for (let group = 0; group < groups; group++) {
    const part = rows.subarray(group * width, (group + 1) * width);
    const mean = normalize_activations === "layer_norm" ? part.reduce((sum, v) => sum + v, 0) / width : 0;
    const squares = part.reduce((sum, v) => sum + (v - mean) ** 2, 0);
    let factor: number;
    if (normalize_activations === "layer_norm") {
      const std = Math.sqrt(squares / (width - 1));
      factor = 1 / (std + 1e-5);
      scale[group] = std;
      shift[group] = mean;
    } else {
      scale[group] = Math.sqrt(squares / width);
      // A row of zeros has no direction to scale; it stays what it is.
      factor = squares === 0 ? 0 : Math.sqrt(width / squares);
    }
    for (let at = 0; at < width; at++) part[at] = (part[at]! - mean) * factor;
  }
  return { rows, scale, shift };
}

/** x̄ W_enc [n, d_sae], tile by tile of features and four inputs at a time: 2.5 times as fast as one by one. */
function timesEncoder(
  W_enc: Float32Array,
  x: Float64Array,
  { d_in, d_sae }: SaeConfig,
): Float64Array<ArrayBuffer> {
  const n = x.length / d_in;
  const product = new Float64Array(n * d_sae);
  const fours = d_in - (d_in % 4);
  for (let start = 0; start < d_sae; start += tileWidth) {
    const width = Math.min(tileWidth, d_sae - start);
    for (let row = 0; row < n; row++) {
      const to = row * d_sae + start;
      for (let input = 0; input < fours; input += 4) {
        const from = row * d_in + input;
        const [x0, x1, x2, x3] = [x[from]!, x[from + 1]!, x[from + 2]!, x[from + 3]!];
        const w0 = input * d_sae + start;
        const w1 = w0 + d_sae;
        const w2 = w1 + d_sae;
        const w3 = w2 + d_sae;
        for (let feature = 0; feature < width; feature++) {
          product[to + feature]! +=
            x0 * W_enc[w0 + feature]! +
            x1 * W_enc[w1 + feature]! +
            x2 * W_enc[w2 + feature]! +
            x3 * W_enc[w3 + feature]!;
        }
      }
      for (let input = fours; input < d_in; input++) {
        const value = x[row * d_in + input]!;
        const from = input * d_sae + start;
        for (let feature = 0; feature < width; feature++) {
          product[to + feature]! += value * W_enc[from + feature]!;
        }
      }
    }
  }
  return product;
}

/** max(z, 0) [z > threshold], in place of h. */
function rectified(h: Float64Array<ArrayBuffer>, b_enc: Float32Array, threshold: Float32Array) {
  for (let at = 0; at < h.length; at++) {
    const feature = at % b_enc.length;
    const z = h[at]! + b_enc[feature]!;
    h[at] = z > threshold[feature]! ? Math.max(z, 0) : 0;
  }
  return h;
}

function gated(h: Float64Array<ArrayBuffer>, b_gate: Float32Array, b_mag: Float32Array, r_mag: Float32Array) {
  const magnitude = Float64Array.from(r_mag, Math.exp);
  for (let at = 0; at < h.length; at++) {
    const feature = at % b_gate.length;
    const open = h[at]! + b_gate[feature]! > 0;
    h[at] = open ? Math.max(h[at]! * magnitude[feature]! + b_mag[feature]!, 0) : 0;
  }
  return h;
}

/** ‖W_dec[i]‖ [d_sae] where TopK selects and reports by it, else null. */
function selectionNorms(sae: Sae): Float64Array | null {
  if (!sae.config.rescale_acts_by_decoder_norm) return null;
  const W_dec = saeTensor(sae, "W_dec");
  const { d_sae, d_out } = sae.config;
  return Float64Array.from({ length: d_sae }, (_, feature) =>
    Math.sqrt(W_dec.subarray(feature * d_out, (feature + 1) * d_out).reduce((sum, w) => sum + w * w, 0)),
  );
}

/** The k largest of each row where they are positive, in place of h. */
function largest(h: Float64Array<ArrayBuffer>, b_enc: Float32Array, k: number, norms: Float64Array | null) {
  const d_sae = b_enc.length;
  const positive = new Float64Array(d_sae);
  for (let start = 0; start < h.length; start += d_sae) {
    let count = 0;
    for (let feature = 0; feature < d_sae; feature++) {
      const z = (h[start + feature]! + b_enc[feature]!) * (norms?.[feature] ?? 1);
      h[start + feature] = Math.max(z, 0);
      if (z > 0) positive[count++] = z;
    }
    if (count <= k) continue;
    const least = positive.subarray(0, count).sort()[count - k]!;
    let equal = k;
    for (let feature = 0; feature < d_sae; feature++) if (h[start + feature]! > least) equal--;
    for (let feature = 0; feature < d_sae; feature++) {
      const z = h[start + feature]!;
      if (z < least || (z === least && equal-- <= 0)) h[start + feature] = 0;
    }
  }
  return h;
}
