import type { Sae } from "../sae/sae.ts";

/** What the weights say by themselves. w_i is row i of W_dec [d_sae, d_out], v_i column i of W_enc [d_in, d_sae]. */
export interface Dictionary {
  /** Mean over features of cos(v_i, w_i); null where input and output are not the same space (transcoders). */
  encoder_decoder_cosine: number | null;
  /** Mean over features of max_{j ≠ i} cos(w_i, w_j) (SAEBench): high where features are near copies. */
  max_decoder_cosine: number | null;
  /** As above, of the encoder's columns. */
  max_encoder_cosine: number | null;
  /** Features i over which the two maxima were averaged, spread evenly over the dictionary; j are always all. */
  max_cosine_features: number;
  decoder_norm: { mean: number; std: number; min: number; max: number };
}

/** Multiplications that the two maxima may take each: seconds. Larger dictionaries are sampled. */
const mostProducts = 1e10;
/** Features compared with all others at once, so that these are read from memory few times. */
const together = 16;

export function dictionaryMetrics({ config, tensors }: Sae, budget = mostProducts): Dictionary {
  const { d_in, d_out, d_sae, transcoder } = config;
  const decoder = directions(numbers(tensors.W_dec), d_sae, d_out, "rows");
  const encoder = directions(numbers(tensors.W_enc), d_sae, d_in, "columns");
  const chosen = Math.max(1, Math.min(d_sae, Math.floor(budget / (d_sae * Math.max(d_in, d_out)))));
  return {
    encoder_decoder_cosine: transcoder ? null : meanCosine(encoder, decoder),
    max_decoder_cosine: meanMaximum(decoder, chosen),
    max_encoder_cosine: meanMaximum(encoder, chosen),
    max_cosine_features: chosen,
    decoder_norm: describe(decoder.norms),
  };
}

function numbers(tensor: Sae["tensors"][string] | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError("An SAE's weights are F32 tensors.");
  return tensor.data;
}

/** Vectors of one length 1 each (zero ones stay zero), [count, width], and what their norms were. */
interface Directions {
  unit: Float32Array;
  norms: Float64Array;
  count: number;
  width: number;
}

function directions(matrix: Float32Array, count: number, width: number, lie: "rows" | "columns"): Directions {
  const unit = new Float32Array(count * width);
  const norms = new Float64Array(count);
  for (let one = 0; one < count; one++) {
    const at = (k: number) => (lie === "rows" ? matrix[one * width + k]! : matrix[k * count + one]!);
    let squares = 0;
    for (let k = 0; k < width; k++) squares += at(k) ** 2;
    norms[one] = Math.sqrt(squares);
    if (squares > 0) for (let k = 0; k < width; k++) unit[one * width + k] = at(k) / norms[one]!;
  }
  return { unit, norms, count, width };
}

function meanCosine(a: Directions, b: Directions): number {
  let sum = 0;
  for (let index = 0; index < a.unit.length; index++) sum += a.unit[index]! * b.unit[index]!;
  return sum / a.count;
}

/** Mean over `chosen` vectors of the largest cosine with another one; null where there is no other. */
function meanMaximum({ unit, count, width }: Directions, chosen: number): number | null {
  if (count < 2) return null;
  const features = Array.from({ length: chosen }, (_, index) => Math.floor((index * count) / chosen));
  let sum = 0;
  for (let from = 0; from < chosen; from += together) {
    const block = features.slice(from, from + together);
    const largest = new Float64Array(block.length).fill(Number.NEGATIVE_INFINITY);
    for (let other = 0; other < count; other++) {
      for (const [place, feature] of block.entries()) {
        if (feature === other) continue;
        let dot = 0;
        for (let k = 0; k < width; k++) dot += unit[feature * width + k]! * unit[other * width + k]!;
        if (dot > largest[place]!) largest[place] = dot;
      }
    }
    sum += largest.reduce((total, value) => total + value, 0);
  }
  return sum / chosen;
}

function describe(values: Float64Array): Dictionary["decoder_norm"] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return {
    mean,
    std: Math.sqrt(variance),
    min: values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY),
    max: values.reduce((most, value) => Math.max(most, value), 0),
  };
}
