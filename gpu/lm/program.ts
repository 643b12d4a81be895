import { type BlockWeight, blockWeights, type CanonicalWeight, modelWeights } from "./canonical-weights.ts";
import { type BlockHook, blockHook, hookLayouts, requireHookPoint } from "./hook-points.ts";
import { type Layout, pitch, plain } from "./layout.ts";
import type { ModelSpec, NormSpec, RotarySpec } from "./model-spec.ts";
import {
  comparedLogits,
  divergenceName,
  finalName,
  liveAfter,
  lossesName,
  requireSpliceable,
  savedName,
  spliceVariants,
} from "./splice-plan.ts";

/**
 * What a pass does, as data: what is allocated, loaded and planned is read off it, so that sizes are told by what
 * will be done. It ends at the last hook point that is asked for. Names are keys of `activations`, `weights` and `tables`.
 */
export interface Program {
  ops: Op[];
  /** f32 [rows, pitch] each. */
  activations: Map<string, Layout>;
  weights: Map<string, WeightPlan>;
  /** (cos, sin) of rotary positions, f32 [length, dims / 2, 2]. */
  tables: Map<string, RotarySpec>;
  /** Hook points in `activations`, by the name asked for. */
  hooks: Map<string, string>;
  /** Pieces of the vocabulary, in order. */
  pieces: Piece[];
  /** Whether the program goes on to the logits. */
  logits: boolean;
  /** Keys and values of a sequence's positions so far, f32 [length, pitch] each; empty unless the program is cached. */
  caches: Map<string, Layout>;
  /** Where activations are replaced on the way to the logits; null: nowhere. */
  splice: SplicePoint | null;
}

/** The pass stops here, and goes on once for each variant (splice-plan.ts). */
export interface SplicePoint {
  hook: string;
  /** Activation that holds the hook point there. */
  x: string;
  /** Activations that the rest of the pass needs as they are here. */
  saved: string[];
}

/** Consecutive tokens of the vocabulary, whose rows of W_E, W_U and logits lie in one buffer. */
export interface Piece {
  first: number;
  count: number;
}

/** A weight, or consecutive rows of one. */
export interface WeightPlan {
  weight: CanonicalWeight;
  /** First of its rows that are taken. */
  first: number;
  rows: Layout;
}

export type Op =
  | { kind: "embed"; W: string; piece: Piece; y: string; scale: number }
  /** y += x, which is W_pos where it repeats with every sequence. */
  | { kind: "add"; x: string; y: string; positions: boolean }
  /** In place where x is y. */
  | { kind: "norm"; x: string; y: string; norm: NormSpec; w: string | null; b: string | null }
  | { kind: "linear"; x: string; y: string; W: string; b: string | null }
  | { kind: "rotary"; x: string; table: string }
  | { kind: "attention"; q: string; k: string; v: string; z: string; window: number | null }
  | { kind: "activate"; y: string; up: string | null }
  | { kind: "copy"; x: string; y: string }
  /** Rows of x to the cache y, at their positions. */
  | { kind: "keep"; x: string; y: string }
  /** The last row of x, alone in y. */
  | { kind: "last"; x: string; y: string }
  /** Does nothing: what x holds may be replaced. */
  | { kind: "splice"; x: string }
  /** One piece of the logits into its buffer, capped, and into losses; and into sums of their divergence from others. */
  | {
      kind: "logits";
      x: string;
      y: string;
      W: string;
      b: string | null;
      piece: Piece;
      losses: string;
      divergence: { from: string; sums: string } | null;
    };

/** f32 of a padded weight. */
export function weightElements({ rows, weight }: WeightPlan): number {
  return pitch(rows) * (weight.columns === null ? 1 : pitch(weight.columns));
}

export interface ProgramOptions {
  /** Names of hook points; in any order, twice counts once. */
  hooks: readonly string[];
  logits: boolean;
  /** Most tokens of the vocabulary in one piece. */
  pieceTokens: number;
  /** One sequence, taken up part by part: attention reads keys and values from caches, and logits are the last row's. */
  cached?: boolean;
  /** Hook point whose activations are replaced; the program goes on to the logits. */
  splice?: string | null;
}

/** Names of buffers that ops hand each other. */
const residual = "residual";
export const logitsPiece = "logits";
export const lastRow = "last row";
export const losses = "losses";
const mlpIn = "mlp in";

/** @throws UnknownHookError, SpliceError */
export function buildProgram(
  spec: ModelSpec,
  { hooks, logits, pieceTokens, cached = false, splice = null }: ProgramOptions,
): Program {
  for (const hook of hooks) requireHookPoint(spec, hook);
  if (splice !== null) {
    requireHookPoint(spec, splice);
    requireSpliceable(splice, spec.shared_norm);
  }
  const pieces = piecesOf(spec.d_vocab, pieceTokens);
  const builder = new ProgramBuilder(spec, new Set(hooks), logits, pieces, cached, splice);
  builder.build();
  return builder.program;
}

/** The vocabulary in as few pieces of at most `most` as there can be, of equal size but for the last. */
function piecesOf(d_vocab: number, most: number): Piece[] {
  const size = 4 * Math.ceil(d_vocab / Math.ceil(d_vocab / most) / 4);
  const pieces: Piece[] = [];
  for (let first = 0; first < d_vocab; first += size) {
    pieces.push({ first, count: Math.min(size, d_vocab - first) });
  }
  return pieces;
}

class ProgramBuilder {
  readonly program: Program;
  readonly #spec: ModelSpec;
  /** Hook points still to come. */
  readonly #wanted: Set<string>;
  readonly #layouts: Map<string, Layout>;
  readonly #cached: boolean;
  readonly #splice: string | null;

  constructor(
    spec: ModelSpec,
    wanted: Set<string>,
    logits: boolean,
    pieces: Piece[],
    cached: boolean,
    splice: string | null,
  ) {
    this.#spec = spec;
    this.#cached = cached;
    this.#splice = splice;
    this.#wanted = wanted;
    this.#layouts = hookLayouts(spec);
    this.program = {
      ops: [],
      activations: new Map(),
      weights: new Map(),
      tables: new Map(),
      hooks: new Map(),
      pieces,
      logits,
      caches: new Map(),
      splice: null,
    };
  }

  build(): void {
    if (this.#finished()) return;
    this.#embed();
    for (let layer = 0; layer < this.#spec.n_layers && !this.#finished(); layer++) this.#block(layer);
    if (this.program.splice !== null) this.#variants(this.program.splice);
    else if (this.program.logits) this.#head();
  }

  #finished(): boolean {
    return this.#wanted.size === 0 && !this.program.logits;
  }

  #embed(): void {
    const { W_E, W_pos } = modelWeights(this.#spec);
    this.#activation(residual, plain(this.#spec.d_model));
    for (const piece of this.program.pieces) {
      const W = this.#piece(W_E!, piece);
      this.#do({ kind: "embed", W, piece, y: residual, scale: this.#spec.embedding_scale });
    }
    this.#capture("hook_embed", residual);
    if (W_pos !== undefined && !this.#finished()) {
      this.#do({ kind: "add", x: this.#weight(W_pos), y: residual, positions: true });
    }
  }

  #block(layer: number): void {
    const spec = this.#spec;
    const weights = blockWeights(spec, layer);
    const capture = (hook: BlockHook, x: string) => this.#capture(blockHook(layer, hook), x);
    const weight = (name: BlockWeight) => this.#optional(weights[name]);
    capture("hook_resid_pre", residual);
    if (this.#finished()) return;
    this.#normalized(blockHook(layer, "ln1.hook_normalized"));
    if (this.#finished()) return;
    this.#norm(residual, "normed", spec.norm, weight("ln1_w"), weight("ln1_b"));
    this.#attention(layer, weight);
    capture("attn.hook_z", "z");
    if (this.#finished()) return;
    this.#linear("z", "attention out", plain(spec.d_model), weight("W_O"), weight("b_O"));
    if (spec.post_norms) this.#norm("attention out", "attention out", spec.norm, weight("post_attn_w"), null);
    capture("hook_attn_out", "attention out");
    if (this.#finished()) return;
    if (!spec.parallel) {
      this.#do({ kind: "add", x: "attention out", y: residual, positions: false });
      capture("hook_resid_mid", residual);
    }
    const x = this.#mlpIn(blockHook(layer, "hook_mlp_in"));
    this.#normalized(blockHook(layer, "ln2.hook_normalized"), x);
    if (this.#finished()) return;
    if (!spec.shared_norm) this.#norm(x, "normed", spec.norm, weight("ln2_w"), weight("ln2_b"));
    const hidden = this.#hidden(weight);
    capture("mlp.hook_post", hidden);
    if (this.#finished()) return;
    this.#linear(hidden, "mlp out", plain(spec.d_model), weight("W_out"), weight("b_out"));
    if (spec.post_norms) this.#norm("mlp out", "mlp out", spec.norm, weight("post_mlp_w"), null);
    capture("hook_mlp_out", "mlp out");
    if (this.#finished()) return;
    if (spec.parallel) this.#do({ kind: "add", x: "attention out", y: residual, positions: false });
    this.#do({ kind: "add", x: "mlp out", y: residual, positions: false });
    capture("hook_resid_post", residual);
  }

  /** From "normed" to "z". */
  #attention(layer: number, weight: (name: BlockWeight) => string | null): void {
    const { n_heads, n_kv_heads, d_head, qk_norm, layers } = this.#spec;
    const queries: Layout = { groups: n_heads, size: d_head };
    const keys: Layout = { groups: n_kv_heads, size: d_head };
    const { window, rotary } = layers[layer]!;
    this.#linear("normed", "q", queries, weight("W_Q"), weight("b_Q"));
    this.#linear("normed", "k", keys, weight("W_K"), weight("b_K"));
    this.#linear("normed", "v", keys, weight("W_V"), weight("b_V"));
    if (qk_norm !== null) {
      this.#norm("q", "q", qk_norm, weight("q_norm_w"), null);
      this.#norm("k", "k", qk_norm, weight("k_norm_w"), null);
    }
    if (rotary !== null) {
      const table = JSON.stringify(rotary);
      this.program.tables.set(table, rotary);
      this.#do({ kind: "rotary", x: "q", table });
      this.#do({ kind: "rotary", x: "k", table });
    }
    this.#activation("z", queries);
    const [k, v] = this.#cached ? [this.#kept("k", layer), this.#kept("v", layer)] : ["k", "v"];
    this.#do({ kind: "attention", q: "q", k, v, z: "z", window });
  }

  /** Puts keys or values into their layer's cache, whose name it gives. */
  #kept(x: "k" | "v", layer: number): string {
    const y = `cache ${layer} ${x}`;
    this.program.caches.set(y, this.program.activations.get(x)!);
    this.#do({ kind: "keep", x, y });
    return y;
  }

  /** What the MLP reads: the residual stream, or a copy where what replaces it must not stay in the stream. */
  #mlpIn(hook: string): string {
    if (hook !== this.#splice) {
      this.#capture(hook, residual);
      return residual;
    }
    this.#activation(mlpIn, plain(this.#spec.d_model));
    this.#do({ kind: "copy", x: residual, y: mlpIn });
    this.#capture(hook, mlpIn);
    return mlpIn;
  }

  /** From "normed" to what enters W_out, whose name it gives. */
  #hidden(weight: (name: BlockWeight) => string | null): string {
    const { gated } = this.#spec.mlp;
    const hidden = plain(this.#spec.d_mlp);
    if (gated) this.#linear("normed", "gate", hidden, weight("W_gate"), weight("b_gate"));
    this.#linear("normed", "in", hidden, weight("W_in"), weight("b_in"));
    const y = gated ? "gate" : "in";
    this.#do({ kind: "activate", y, up: gated ? "in" : null });
    return y;
  }

  #head(): void {
    const { ln_final_w, ln_final_b, W_E, W_U, b_U } = modelWeights(this.#spec);
    const { norm } = this.#spec;
    this.#norm(residual, "normed", norm, this.#optional(ln_final_w), this.#optional(ln_final_b));
    let x = "normed";
    if (this.#cached) {
      this.#activation(lastRow, plain(this.#spec.d_model));
      this.#do({ kind: "last", x, y: lastRow });
      x = lastRow;
    }
    const largest = Math.max(...this.program.pieces.map(({ count }) => count));
    this.#activation(logitsPiece, plain(largest));
    for (const piece of this.program.pieces) {
      const W = this.#piece(W_U ?? W_E!, piece);
      const b = b_U === undefined ? null : this.#piece(b_U, piece);
      this.#do({ kind: "logits", x, y: logitsPiece, W, b, piece, losses, divergence: null });
    }
  }

  /** The final norm; then each piece of the logits of every variant, of which each keeps its head's input. */
  #variants(splice: SplicePoint): void {
    const { ln_final_w, ln_final_b, W_E, W_U, b_U } = modelWeights(this.#spec);
    const { norm, d_model } = this.#spec;
    this.#norm(residual, "normed", norm, this.#optional(ln_final_w), this.#optional(ln_final_b));
    const { ops, activations, pieces } = this.program;
    splice.saved = liveAfter(
      ops,
      ops.findIndex(({ kind }) => kind === "splice"),
    );
    for (const name of splice.saved) this.#activation(savedName(name), activations.get(name)!);
    for (const variant of spliceVariants) this.#activation(finalName(variant), plain(d_model));
    const largest = plain(Math.max(...pieces.map(({ count }) => count)));
    this.#activation(logitsPiece, largest);
    this.#activation(comparedLogits, largest);
    for (const piece of pieces) {
      const W = this.#piece(W_U ?? W_E!, piece);
      const b = b_U === undefined ? null : this.#piece(b_U, piece);
      for (const variant of spliceVariants) {
        const clean = variant === "clean";
        this.#do({
          ...{ kind: "logits", x: finalName(variant), y: clean ? logitsPiece : comparedLogits, W, b, piece },
          losses: lossesName(variant),
          divergence: clean ? null : { from: logitsPiece, sums: divergenceName(variant) },
        });
      }
    }
  }

  #do(op: Op): void {
    this.program.ops.push(op);
  }

  #activation(name: string, layout: Layout): void {
    this.program.activations.set(name, layout);
  }

  /** Keeps what is in `x` now, if the hook point is wanted. */
  #capture(hook: string, x: string): void {
    const y = this.#hookBuffer(hook);
    if (y !== null) this.#do({ kind: "copy", x, y });
    if (hook !== this.#splice) return;
    this.program.splice = { hook, x, saved: [] };
    this.#do({ kind: "splice", x });
  }

  /** The residual stream normalised, before weight and bias, if the hook point is wanted. */
  #normalized(hook: string, x = residual): void {
    const y = this.#hookBuffer(hook);
    if (y !== null) this.#norm(x, y, this.#spec.norm, null, null);
  }

  #hookBuffer(hook: string): string | null {
    if (!this.#wanted.delete(hook)) return null;
    const name = `hook ${hook}`;
    this.#activation(name, this.#layouts.get(hook)!);
    this.program.hooks.set(hook, name);
    return name;
  }

  #norm(x: string, y: string, norm: NormSpec, w: string | null, b: string | null): void {
    if (!this.program.activations.has(y)) this.#activation(y, this.program.activations.get(x)!);
    this.#do({ kind: "norm", x, y, norm, w, b });
  }

  #linear(x: string, y: string, layout: Layout, W: string | null, b: string | null): void {
    if (W === null) throw new Error(`The model has no weights for "${y}".`);
    this.#activation(y, layout);
    this.#do({ kind: "linear", x, y, W, b });
  }

  #optional(weight: CanonicalWeight | undefined): string | null {
    return weight === undefined ? null : this.#weight(weight);
  }

  #weight(weight: CanonicalWeight): string {
    const name = weight.layer === null ? weight.name : `blocks.${weight.layer}.${weight.name}`;
    this.program.weights.set(name, { weight, first: 0, rows: weight.rows });
    return name;
  }

  #piece(weight: CanonicalWeight, { first, count }: Piece): string {
    const name = `${weight.name} from ${first}`;
    this.program.weights.set(name, { weight, first, rows: plain(count) });
    return name;
  }
}
