import {
  add,
  type Linear,
  linear,
  logSumExp,
  type Norm,
  norm,
  normalized,
  softCapped,
  weighted,
} from "./arithmetic.ts";
import { type AttentionRule, attended, attentionPattern, attentionScores } from "./attention.ts";
import type { HuggingFaceModel } from "./hugging-face.ts";
import { readTransformer } from "./read-transformer.ts";
import { rotate } from "./rotary.ts";

/**
 * Decoder-only transformers in float64: the judge of the GPU's forward pass, which it shares no code with. Families
 * differ in what `readTransformer` makes of their files; here is what they have in common. Hook points have
 * TransformerLens' names and meaning.
 */

export interface Layer {
  attention: AttentionRule;
  q: Linear;
  k: Linear;
  v: Linear;
  o: Linear;
  /** Of each head, before positions: Qwen 3, Gemma 3. */
  qNorm: Norm | null;
  kNorm: Norm | null;
  /** Radians per position; null: no rotary positions. */
  frequencies: Float64Array | null;
  ln1: Norm;
  ln2: Norm;
  /** Of what attention and MLP give, before it is added: Gemma 2 and 3. */
  ln1Post: Norm | null;
  ln2Post: Norm | null;
  /** Attention and MLP both read the residual before the block. */
  parallel: boolean;
  /** hidden = act(gate(x)) * in(x), or act(in(x)) without a gate. */
  mlp: { gate: Linear | null; in: Linear; out: Linear; activation: (x: number) => number };
}

export interface Transformer {
  d_model: number;
  n_heads: number;
  n_kv_heads: number;
  d_head: number;
  d_vocab: number;
  /** [d_vocab, d_model], scaled already where the family scales it. */
  embedding: Float64Array;
  /** [positions, d_model], or null where positions are rotary. */
  positions: Float64Array | null;
  layers: Layer[];
  finalNorm: Norm;
  unembed: Linear;
  /** Soft cap of the logits. */
  finalSoftCap: number | null;
}

export interface Activation {
  shape: number[];
  data: Float64Array;
}

export interface Forward {
  /** By TransformerLens' names, `hook_embed` to `ln_final.hook_normalized`; [n, length, width], hook_pattern [n, n_heads, length, length]. */
  hooks: Map<string, Activation>;
  /** [n, length, d_vocab]. */
  logits: Activation;
  /** Mean of -log p(next token) in nats over the n (length - 1) predictions. */
  crossEntropy: number;
}

type Sequence = Map<string, Activation>;

/** What a hook point holds from there on, [length, width]; the data itself where nothing is replaced. */
export type Intervention = (hook: string, data: Float64Array, sequence: number) => Float64Array;

/** @param sequences token ids, all of one length. */
export function forward(
  model: HuggingFaceModel,
  sequences: readonly ArrayLike<number>[],
  intervene: Intervention = (_, data) => data,
): Forward {
  const transformer = readTransformer(model);
  const length = sequences[0]!.length;
  if (sequences.some((tokens) => tokens.length !== length)) throw new RangeError("Lengths differ.");
  const runs = sequences.map((tokens, n) =>
    runSequence(transformer, Array.from(tokens), (hook, data) => intervene(hook, data, n)),
  );
  const hooks = new Map([...runs[0]!.keys()].map((name) => [name, stacked(runs, name)] as const));
  const logits = hooks.get("logits")!;
  hooks.delete("logits");
  const next = sequences.map((tokens) => Array.from(tokens).slice(1));
  return { hooks, logits, crossEntropy: crossEntropy(logits, next) };
}

function stacked(runs: readonly Sequence[], name: string): Activation {
  const { shape } = runs[0]!.get(name)!;
  const size = runs[0]!.get(name)!.data.length;
  const data = new Float64Array(runs.length * size);
  runs.forEach((run, n) => {
    data.set(run.get(name)!.data, n * size);
  });
  return { shape: [runs.length, ...shape], data };
}

/**
 * Mean of -log softmax(logits)[next] in nats.
 * @param next what follows each sequence's first tokens; may go one token beyond the sequence.
 */
export function crossEntropy({ shape, data }: Activation, next: readonly (readonly number[])[]): number {
  const [, length, d_vocab] = shape as [number, number, number];
  const losses = next.flatMap((tokens, n) =>
    tokens.map((token, i) => {
      const at = (n * length + i) * d_vocab;
      return logSumExp(data.subarray(at, at + d_vocab)) - data[at + token]!;
    }),
  );
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

/** One sequence: every hook point, and "logits". */
function runSequence(
  transformer: Transformer,
  tokens: readonly number[],
  intervene: (hook: string, data: Float64Array) => Float64Array,
): Sequence {
  const { d_model, d_vocab, positions } = transformer;
  const length = tokens.length;
  const record: Sequence = new Map();
  const hook = (name: string, computed: Float64Array) => {
    const data = intervene(name, computed);
    record.set(name, { shape: [length, data.length / length], data });
    return data;
  };

  let residual = hook("hook_embed", rowsOf(transformer.embedding, d_model, tokens));
  if (positions !== null) {
    const places = Array.from(tokens, (_, position) => position);
    residual = add(residual, hook("hook_pos_embed", rowsOf(positions, d_model, places)));
  }
  transformer.layers.forEach((layer, i) => {
    const at = `blocks.${i}`;
    const pre = hook(`${at}.hook_resid_pre`, residual);
    const attentionOut = hook(`${at}.hook_attn_out`, attention(transformer, layer, at, pre, record, hook));
    const sum = add(pre, attentionOut);
    const mid = layer.parallel ? sum : hook(`${at}.hook_resid_mid`, sum);
    const mlpIn = hook(`${at}.hook_mlp_in`, layer.parallel ? pre : mid);
    const mlpOut = hook(`${at}.hook_mlp_out`, mlp(layer, at, mlpIn, hook));
    residual = hook(`${at}.hook_resid_post`, add(mid, mlpOut));
  });
  const final = hook("ln_final.hook_normalized", normalized(residual, d_model, transformer.finalNorm));
  const logits = linear(weighted(final, transformer.finalNorm), transformer.unembed);
  record.set("logits", {
    shape: [length, d_vocab],
    data: logits.map((logit) => softCapped(logit, transformer.finalSoftCap)),
  });
  return record;
}

/** Rows of a table, [indices, width]. */
function rowsOf(table: Float64Array, width: number, indices: readonly number[]): Float64Array {
  const rows = new Float64Array(indices.length * width);
  indices.forEach((index, i) => {
    if ((index + 1) * width > table.length) throw new RangeError(`Row ${index} is not in the table.`);
    rows.set(table.subarray(index * width, (index + 1) * width), i * width);
  });
  return rows;
}

function attention(
  transformer: Transformer,
  layer: Layer,
  at: string,
  pre: Float64Array,
  record: Sequence,
  hook: (name: string, data: Float64Array) => Float64Array,
): Float64Array {
  const { d_model, n_heads, n_kv_heads, d_head } = transformer;
  const length = pre.length / d_model;
  const x = weighted(hook(`${at}.ln1.hook_normalized`, normalized(pre, d_model, layer.ln1)), layer.ln1);
  const turned = (projected: Float64Array, headNorm: Norm | null, heads: number) => {
    const ready = headNorm === null ? projected : norm(projected, headNorm);
    return layer.frequencies === null ? ready : rotate(ready, layer.frequencies, heads, d_head);
  };
  const q = turned(linear(x, layer.q), layer.qNorm, n_heads);
  const k = turned(linear(x, layer.k), layer.kNorm, n_kv_heads);
  const pattern = attentionPattern(attentionScores(q, k, transformer, layer.attention), length);
  record.set(`${at}.attn.hook_pattern`, { shape: [n_heads, length, length], data: pattern });
  const z = hook(`${at}.attn.hook_z`, attended(pattern, linear(x, layer.v), transformer));
  const out = linear(z, layer.o);
  return layer.ln1Post === null ? out : norm(out, layer.ln1Post);
}

function mlp(
  layer: Layer,
  at: string,
  mlpIn: Float64Array,
  hook: (name: string, data: Float64Array) => Float64Array,
): Float64Array {
  const { gate, in: into, out: outOf, activation } = layer.mlp;
  const width = layer.ln2.weight.length;
  const x = weighted(hook(`${at}.ln2.hook_normalized`, normalized(mlpIn, width, layer.ln2)), layer.ln2);
  const up = linear(x, into);
  const post = gate === null ? up.map(activation) : linear(x, gate).map((g, i) => activation(g) * up[i]!);
  const out = linear(hook(`${at}.mlp.hook_post`, post), outOf);
  return layer.ln2Post === null ? out : norm(out, layer.ln2Post);
}
