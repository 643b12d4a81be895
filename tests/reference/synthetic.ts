import { NO_PARENT } from "../../gpu/data/hierarchy.ts";
import { normalFromBits, pcg4d } from "../../gpu/data/random.ts";
import type { BatchStream } from "../../gpu/data/source.ts";
import { type SyntheticSource, streamKey } from "../../gpu/data/synthetic.ts";

/** A batch of the synthetic generator in float64, token by token and from the roots down. */
export interface ReferenceBatch {
  /** [rows, d_in] */
  x: Float64Array;
  /** True activations, [rows, n_features]. */
  a: Float64Array;
  /** Per row, how near any feature came to the edge between firing and not; rounding may decide below about 1e-6. */
  margin: Float64Array;
}

export function syntheticBatch(
  source: SyntheticSource,
  stream: BatchStream,
  batch: number,
  rows: number,
): ReferenceBatch {
  const { config, truth, n_features: n, d_in } = source;
  const rank = config.correlation_rank;
  const key = streamKey(config.seed, stream);
  const words = new Uint32Array(4);
  const result: ReferenceBatch = {
    x: new Float64Array(rows * d_in),
    a: new Float64Array(rows * n),
    margin: new Float64Array(rows).fill(Number.POSITIVE_INFINITY),
  };
  for (let row = 0; row < rows; row++) {
    const token = batch * rows + row;
    const random = (series: number) => {
      pcg4d(words, token % 2 ** 32, Math.floor(token / 2 ** 32), series, key);
      return words;
    };
    const near = (distance: number) => {
      result.margin[row] = Math.min(result.margin[row]!, Math.abs(distance));
    };
    const hidden = Array.from({ length: rank }, (_, r) => normalFromBits(random(2 ** 31 + r)[0]!));
    const a = result.a.subarray(row * n, (row + 1) * n);
    const priority = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      random(i);
      const [fire, size] = [words[0]!, words[1]!];
      priority[i] = words[2]!;
      let fires: boolean;
      if (rank > 0) {
        const shared = hidden.reduce((sum, u, r) => sum + truth.loadings[i * rank + r]! * u, 0);
        const g = shared + truth.residual[i]! * normalFromBits(fire);
        near(g - truth.threshold[i]!);
        fires = g > truth.threshold[i]!;
      } else {
        fires = fire < Math.min(2 ** 32 - 1, Math.round(truth.draw_probability[i]! * 2 ** 32));
      }
      if (fires) {
        const value = truth.magnitude_mean[i]! + truth.magnitude_std[i]! * normalFromBits(size);
        near(value);
        a[i] = Math.max(0, value);
      }
    }
    // Parents come before their children, and children of one parent together.
    for (let first = 0; first < n; first++) {
      const parent = truth.parent[first]!;
      if (parent === NO_PARENT || truth.first_sibling[first] !== first) continue;
      const siblings = Array.from({ length: truth.n_siblings[first]! }, (_, s) => first + s);
      if (config.mutually_exclusive_children) {
        const firing = siblings.filter((i) => a[i]! > 0);
        const winner = firing.reduce(
          (best, i) => (best < 0 || priority[i]! > priority[best]! ? i : best),
          -1,
        );
        for (const i of siblings) if (i !== winner) a[i] = 0;
      }
      const factor = config.scale_children_by_parent ? a[parent]! / truth.magnitude_mean[parent]! : 1;
      for (const i of siblings) a[i] = a[parent]! > 0 ? a[i]! * factor : 0;
    }
    for (let j = 0; j < d_in; j++) {
      let sum = truth.bias[j]!;
      for (let i = 0; i < n; i++) if (a[i] !== 0) sum += a[i]! * truth.dictionary[i * d_in + j]!;
      result.x[row * d_in + j] = sum;
    }
  }
  return result;
}
