/** A GPT-2-shaped model. d_model, d_mlp, d_vocab, n_ctx and d_model / n_heads are multiples of 8. */
export interface Shape {
  d_model: number;
  n_layers: number;
  n_heads: number;
  d_mlp: number;
  d_vocab: number;
  n_ctx: number;
}

export interface Parameter {
  /** By transformers' GPT-2. */
  name: string;
  shape: readonly number[];
  /** First float in the one array that holds all of them. */
  at: number;
  count: number;
  /** What it holds at the start, and the standard deviation of what is not the same throughout. */
  start: "normal" | "zeros" | "ones";
  deviation: number;
  /** Matrices shrink by weight decay, gains and biases do not. */
  decays: boolean;
}

export const epsilon = 1e-5;

/** All parameters in the order in which they lie; Conv1D weights are [in, out], and the head is tied to wte. */
export function parametersOf({ d_model: d, n_layers, d_mlp, d_vocab, n_ctx }: Shape): Map<string, Parameter> {
  const parameters = new Map<string, Parameter>();
  let at = 0;
  const add = (name: string, shape: readonly number[], start: Parameter["start"], deviation = 0) => {
    const count = shape.reduce((product, length) => product * length, 1);
    parameters.set(name, { name, shape, at, count, start, deviation, decays: shape.length > 1 });
    at += count;
  };
  const norm = (name: string) => {
    add(`${name}.weight`, [d], "ones");
    add(`${name}.bias`, [d], "zeros");
  };
  const linear = (name: string, inputs: number, outputs: number, deviation: number) => {
    add(`${name}.weight`, [inputs, outputs], "normal", deviation);
    add(`${name}.bias`, [outputs], "zeros");
  };
  const deviation = 0.5 / Math.sqrt(d);
  const ofResidual = deviation / Math.sqrt(2 * n_layers);
  add("transformer.wte.weight", [d_vocab, d], "normal", deviation);
  add("transformer.wpe.weight", [n_ctx, d], "normal", deviation / 2);
  for (let layer = 0; layer < n_layers; layer++) {
    const block = `transformer.h.${layer}`;
    norm(`${block}.ln_1`);
    linear(`${block}.attn.c_attn`, d, 3 * d, deviation);
    linear(`${block}.attn.c_proj`, d, d, ofResidual);
    norm(`${block}.ln_2`);
    linear(`${block}.mlp.c_fc`, d, d_mlp, deviation);
    linear(`${block}.mlp.c_proj`, d_mlp, d, ofResidual);
  }
  norm("transformer.ln_f");
  return parameters;
}

export function parameterCount(shape: Shape): number {
  let count = 0;
  for (const parameter of parametersOf(shape).values()) count += parameter.count;
  return count;
}
