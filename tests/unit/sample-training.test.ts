import { expect, test } from "vitest";
import { RandomStream } from "../../gpu/sae/random.ts";
import { Heap, rowsOf, transpose } from "../../server/sample/training/heap.ts";
import { type Parameter, parametersOf, type Shape } from "../../server/sample/training/shape.ts";
import { Transformer } from "../../server/sample/training/transformer.ts";
import type { HuggingFaceModel, Tensor } from "../reference/lm/hugging-face.ts";
import { forward } from "../reference/lm/transformer.ts";

const shape: Shape = { d_model: 16, n_layers: 2, n_heads: 2, d_mlp: 24, d_vocab: 32, n_ctx: 8 };
const parameters = [...parametersOf(shape).values()];
const random = new RandomStream(3);

/** The model in float64, in Hugging Face's layout, with weights large enough that every path matters. */
function model(): HuggingFaceModel & { tensors: Map<string, Tensor> } {
  const tensors = new Map<string, Tensor>();
  for (const { name, shape, count, start } of parameters) {
    const spread = shape.length > 1 ? 0.35 : 0.2;
    tensors.set(name, {
      shape,
      data: Float64Array.from({ length: count }, () => (start === "ones" ? 1 : 0) + spread * random.normal()),
    });
  }
  const config = {
    model_type: "gpt2",
    n_embd: shape.d_model,
    n_layer: shape.n_layers,
    n_head: shape.n_heads,
    n_inner: shape.d_mlp,
    n_positions: shape.n_ctx,
    vocab_size: shape.d_vocab,
    activation_function: "gelu_new",
    layer_norm_epsilon: 1e-5,
  };
  return { config, tensors };
}

const reference = model();
const sequences = Array.from({ length: 3 }, () =>
  Array.from({ length: shape.n_ctx }, () => Math.floor(random.uniform() * shape.d_vocab)),
);
const tokens = Uint32Array.from(sequences.flat());

function transformer(): Transformer {
  const made = new Transformer(shape, 4);
  for (const { name, at } of parameters) made.parameters.set(reference.tensors.get(name)!.data, at);
  return made;
}

/** Along random directions in one parameter: the float64 reference's central difference. */
function slope({ name, count }: Parameter): { direction: Float64Array; slope: number } {
  const direction = Float64Array.from({ length: count }, () => random.normal());
  const tensor = reference.tensors.get(name)!;
  const moved = (by: number) => {
    const data = Float64Array.from(tensor.data, (value, i) => value + by * direction[i]!);
    const tensors = new Map([...reference.tensors, [name, { shape: tensor.shape, data }]]);
    return forward({ config: reference.config, tensors }, sequences).crossEntropy;
  };
  const h = 1e-5;
  return { direction, slope: (moved(h) - moved(-h)) / (2 * h) };
}

test("the loss is that of the float64 reference", () => {
  const losses = transformer().losses(tokens);
  expect(losses).toHaveLength(3 * (shape.n_ctx - 1));
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  expect(mean).toBeCloseTo(forward(reference, sequences).crossEntropy, 5);
});

test("the gradient of every parameter is the central difference of the float64 reference", () => {
  const made = transformer();
  made.lossAndGradients(tokens);
  for (const parameter of parameters) {
    const gradient = made.gradients.subarray(parameter.at, parameter.at + parameter.count);
    const size = Math.hypot(...gradient);
    expect(size, parameter.name).toBeGreaterThan(1e-4);
    for (let trial = 0; trial < 3; trial++) {
      const { direction, slope: expected } = slope(parameter);
      const along = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
      expect(Math.abs(along - expected) / size, parameter.name).toBeLessThan(1e-3);
    }
  }
});

test("a second call, of fewer sequences, keeps nothing of the first", () => {
  const made = transformer();
  const alone = transformer();
  made.lossAndGradients(tokens);
  const few = tokens.slice(0, 2 * shape.n_ctx);
  expect(made.lossAndGradients(few)).toBe(alone.lossAndGradients(few));
  expect(made.gradients).toEqual(alone.gradients);
});

test("tokens that are not whole contexts, or too many, are refused", () => {
  expect(() => transformer().losses(tokens.slice(1))).toThrow(RangeError);
  expect(() => transformer().losses(new Uint32Array(5 * shape.n_ctx))).toThrow(RangeError);
});

test("the SIMD product is the product, turned and added too", () => {
  const [m, n, k] = [8, 16, 5];
  const heap = new Heap(m * k + k * n + m * n + 16);
  const [a, b, c] = [heap.allocate(m * k), heap.allocate(k * n), heap.allocate(m * n)];
  for (let at = a; at < c + m * n; at++) heap.floats[at] = random.normal();
  const before = heap.floats.slice();
  heap.multiply(transpose(rowsOf(a, m)), rowsOf(b, n), rowsOf(c, n), m, n, k, true);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = before[c + i * n + j]!;
      for (let l = 0; l < k; l++) sum += before[a + l * m + i]! * before[b + l * n + j]!;
      expect(heap.floats[c + i * n + j]).toBeCloseTo(sum, 5);
    }
  }
  expect(() => heap.multiply(rowsOf(a, k), rowsOf(b, n), rowsOf(c, n), 3, n, k, false)).toThrow(RangeError);
});
