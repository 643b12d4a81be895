import { canonicalWeights } from "../gpu/lm/canonical-weights.ts";
import { familyWeights } from "../gpu/lm/families/index.ts";
import { tensorOf } from "../gpu/lm/load-weights.ts";
import type { ModelSpec } from "../gpu/lm/model-spec.ts";
import type { WeightSource } from "../gpu/lm/weights.ts";
import { RandomStream } from "../gpu/sae/random.ts";

/** Numbers that tensors are cut from; a prime, so that rows differ. */
const poolSize = 65_537;

/**
 * Weights for a model of any size that take no memory: matrices are uniform with a spread of 1 / √inputs, so that
 * activations stay of order 1; vectors are ones.
 */
export function randomWeights(spec: ModelSpec): WeightSource {
  const random = new RandomStream(1);
  const pool = Float32Array.from({ length: poolSize }, () => Math.sqrt(12) * (random.uniform() - 0.5));
  const shapes = new Map<string, readonly number[]>();
  const names = familyWeights(spec);
  for (const weight of canonicalWeights(spec)) {
    const { names: possible, shape } = tensorOf(names, weight);
    shapes.set(possible[0]!, shape);
  }
  const shapeOf = (name: string) => {
    const shape = shapes.get(name);
    if (shape === undefined) throw new Error(`There is no tensor ${name}.`);
    return shape;
  };
  return {
    names: new Set(shapes.keys()),
    shape: shapeOf,
    async rows(name, first, count) {
      const [, width] = shapeOf(name);
      if (width === undefined) return new Float32Array(count).fill(1);
      const scale = spec.d_model ** -0.5;
      const data = new Float32Array(count * width);
      for (let i = 0; i < data.length; i++) data[i] = scale * pool[(first * width + i) % poolSize]!;
      return data;
    },
  };
}
