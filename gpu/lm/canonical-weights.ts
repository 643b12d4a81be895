import { type Layout, plain } from "./layout.ts";
import type { ModelSpec } from "./model-spec.ts";

/** A block's weights by TransformerLens' names, y = x Wᵀ + b. */
export type BlockWeight =
  | "ln1_w"
  | "ln1_b"
  | "W_Q"
  | "b_Q"
  | "W_K"
  | "b_K"
  | "W_V"
  | "b_V"
  | "q_norm_w"
  | "k_norm_w"
  | "W_O"
  | "b_O"
  | "post_attn_w"
  | "ln2_w"
  | "ln2_b"
  | "W_gate"
  | "b_gate"
  | "W_in"
  | "b_in"
  | "W_out"
  | "b_out"
  | "post_mlp_w";

/** Weights outside the blocks. */
export type ModelWeight = "W_E" | "W_pos" | "ln_final_w" | "ln_final_b" | "W_U" | "b_U";

export interface CanonicalWeight {
  name: BlockWeight | ModelWeight;
  /** Block it belongs to; null: none. */
  layer: number | null;
  /** Rows of a matrix [out, in], or a vector's numbers. */
  rows: Layout;
  /** Null: a vector. */
  columns: Layout | null;
}

/** The weights outside the blocks, as f32 [rows, columns]. */
export function modelWeights(spec: ModelSpec): Partial<Record<ModelWeight, CanonicalWeight>> {
  const model = plain(spec.d_model);
  const vocab = plain(spec.d_vocab);
  const of = (name: ModelWeight, rows: Layout, columns: Layout | null = null): CanonicalWeight => ({
    name,
    layer: null,
    rows,
    columns,
  });
  return {
    W_E: of("W_E", vocab, model),
    ...(spec.learned_positions && { W_pos: of("W_pos", plain(spec.n_ctx), model) }),
    ln_final_w: of("ln_final_w", model),
    ...(spec.norm.kind === "layer" && { ln_final_b: of("ln_final_b", model) }),
    ...(!spec.tied_head && { W_U: of("W_U", vocab, model) }),
    ...(spec.biases.head && { b_U: of("b_U", vocab) }),
  };
}

/** The weights of one block. */
export function blockWeights(spec: ModelSpec, layer: number): Partial<Record<BlockWeight, CanonicalWeight>> {
  const { biases, mlp } = spec;
  const model = plain(spec.d_model);
  const head = plain(spec.d_head);
  const hidden = plain(spec.d_mlp);
  const queries: Layout = { groups: spec.n_heads, size: spec.d_head };
  const keys: Layout = { groups: spec.n_kv_heads, size: spec.d_head };
  const result: Partial<Record<BlockWeight, CanonicalWeight>> = {};
  const add = (name: BlockWeight, rows: Layout, columns: Layout | null = null) => {
    result[name] = { name, layer, rows, columns };
  };
  const addLinear = (
    [W, b]: readonly [BlockWeight, BlockWeight],
    rows: Layout,
    columns: Layout,
    biased: boolean,
  ) => {
    add(W, rows, columns);
    if (biased) add(b, rows);
  };
  const addNorm = ([w, b]: readonly [BlockWeight, BlockWeight]) => {
    add(w, model);
    if (spec.norm.kind === "layer") add(b, model);
  };
  addNorm(["ln1_w", "ln1_b"]);
  addLinear(["W_Q", "b_Q"], queries, model, biases.qkv);
  addLinear(["W_K", "b_K"], keys, model, biases.qkv);
  addLinear(["W_V", "b_V"], keys, model, biases.qkv);
  if (spec.qk_norm !== null) {
    add("q_norm_w", head);
    add("k_norm_w", head);
  }
  addLinear(["W_O", "b_O"], model, queries, biases.attn_out);
  if (spec.post_norms) {
    add("post_attn_w", model);
    add("post_mlp_w", model);
  }
  if (!spec.shared_norm) addNorm(["ln2_w", "ln2_b"]);
  if (mlp.gated) addLinear(["W_gate", "b_gate"], hidden, model, biases.mlp);
  addLinear(["W_in", "b_in"], hidden, model, biases.mlp);
  addLinear(["W_out", "b_out"], model, hidden, biases.mlp);
  return result;
}

/** Every weight of the model. */
export function* canonicalWeights(spec: ModelSpec): Generator<CanonicalWeight> {
  yield* Object.values(modelWeights(spec));
  for (let layer = 0; layer < spec.n_layers; layer++) yield* Object.values(blockWeights(spec, layer));
}
