import { attentionBackward, attentionForward } from "./attention.ts";
import { geluBackward, geluForward } from "./gelu.ts";
import { Heap, rowsOf, transpose } from "./heap.ts";
import { type NormPlaces, normBackward, normForward } from "./layer-norm.ts";
import { type LinearPlaces, linearBackward, linearForward } from "./linear.ts";
import { parameterCount, parametersOf, type Shape } from "./shape.ts";

interface Block {
  norm1: NormPlaces;
  qkvLayer: LinearPlaces;
  outLayer: LinearPlaces;
  norm2: NormPlaces;
  inLayer: LinearPlaces;
  mlpLayer: LinearPlaces;
  /** The residual before the block, [rows, d_model], and what its layers read and give. */
  x: number;
  normed1: number;
  qkv: number;
  patterns: number;
  z: number;
  normed2: number;
  hidden: number;
  activated: number;
}

/** Loss and gradients of a GPT-2-shaped model in float32, for batches of up to `sequences` full contexts. */
export class Transformer {
  readonly shape: Shape;
  /** All parameters, as `parametersOf` lays them out, and their gradients. */
  readonly parameters: Float32Array<ArrayBuffer>;
  readonly gradients: Float32Array<ArrayBuffer>;
  readonly #sequences: number;
  readonly #heap: Heap;
  readonly #blocks: Block[];
  readonly #wte: LinearPlaces;
  readonly #wpe: { weight: number; gradient: number };
  readonly #norm: NormPlaces;
  /** The residual after the last block. */
  readonly #x: number;
  readonly #normed: number;
  /** Logits, then their gradients, [rows, d_vocab]. */
  readonly #logits: number;
  /** Gradients of the residual, and of what a layer reads and gives. */
  readonly #dx: number;
  readonly #dnarrow: number;
  readonly #dwide: number;
  readonly #scratch: number;

  constructor(shape: Shape, sequences: number) {
    const { d_model: d, n_heads, n_layers, d_mlp, d_vocab, n_ctx } = shape;
    const rows = sequences * n_ctx;
    const wide = Math.max(3 * d, d_mlp);
    const scratch = Math.max(d * wide, d * d_vocab, n_ctx * n_ctx + n_ctx * d);
    const perBlock = rows * (9 * d + 2 * d_mlp + 2 + n_heads * n_ctx);
    const count = parameterCount(shape);
    const heap = new Heap(
      2 * count + n_layers * (perBlock + 64) + rows * (5 * d + wide + d_vocab + 1) + scratch + 256,
    );
    this.shape = shape;
    this.#sequences = sequences;
    this.#heap = heap;
    const values = heap.allocate(count);
    const slopes = heap.allocate(count);
    this.parameters = heap.view(values, count);
    this.gradients = heap.view(slopes, count);
    const named = parametersOf(shape);
    const place = (name: string) => named.get(name)!.at;
    const room = (width: number) => heap.allocate(rows * width);
    const norm = (name: string): NormPlaces => ({
      gain: values + place(`${name}.weight`),
      bias: values + place(`${name}.bias`),
      gainGradient: slopes + place(`${name}.weight`),
      biasGradient: slopes + place(`${name}.bias`),
      unit: room(d),
      inverse: room(1),
    });
    const linear = (name: string, inputs: number, outputs: number): LinearPlaces => ({
      weight: values + place(`${name}.weight`),
      bias: values + place(`${name}.bias`),
      weightGradient: slopes + place(`${name}.weight`),
      biasGradient: slopes + place(`${name}.bias`),
      inputs,
      outputs,
    });
    const embedding = place("transformer.wte.weight");
    this.#wte = {
      weight: values + embedding,
      weightGradient: slopes + embedding,
      bias: 0,
      biasGradient: 0,
      inputs: d_vocab,
      outputs: d,
    };
    const positions = place("transformer.wpe.weight");
    this.#wpe = { weight: values + positions, gradient: slopes + positions };
    this.#blocks = Array.from({ length: n_layers }, (_, layer): Block => {
      const name = `transformer.h.${layer}`;
      return {
        norm1: norm(`${name}.ln_1`),
        qkvLayer: linear(`${name}.attn.c_attn`, d, 3 * d),
        outLayer: linear(`${name}.attn.c_proj`, d, d),
        norm2: norm(`${name}.ln_2`),
        inLayer: linear(`${name}.mlp.c_fc`, d, d_mlp),
        mlpLayer: linear(`${name}.mlp.c_proj`, d_mlp, d),
        x: room(d),
        normed1: room(d),
        qkv: room(3 * d),
        patterns: room(n_heads * n_ctx),
        z: room(d),
        normed2: room(d),
        hidden: room(d_mlp),
        activated: room(d_mlp),
      };
    });
    this.#norm = norm("transformer.ln_f");
    this.#x = room(d);
    this.#normed = room(d);
    this.#logits = room(d_vocab);
    this.#dx = room(d);
    this.#dnarrow = room(d);
    this.#dwide = room(wide);
    this.#scratch = heap.allocate(scratch);
  }

  /**
   * Cross-entropy in nats of each prediction, [sequences, n_ctx - 1]: of the token after each but the last.
   * @param tokens [sequences, n_ctx]
   */
  losses(tokens: Uint32Array): Float64Array {
    const sequences = this.#check(tokens);
    this.#forward(tokens, sequences);
    return this.#crossEntropy(tokens, sequences);
  }

  /** Sets `gradients` to those of the mean loss, which it gives. @param tokens [sequences, n_ctx] */
  lossAndGradients(tokens: Uint32Array): number {
    const sequences = this.#check(tokens);
    this.#forward(tokens, sequences);
    const losses = this.#crossEntropy(tokens, sequences);
    this.gradients.fill(0);
    this.#backward(tokens, sequences);
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  }

  #check(tokens: Uint32Array): number {
    const sequences = tokens.length / this.shape.n_ctx;
    if (!Number.isInteger(sequences) || sequences < 1 || sequences > this.#sequences) {
      throw new RangeError(
        `${tokens.length} tokens are not 1 to ${this.#sequences} contexts of ${this.shape.n_ctx}.`,
      );
    }
    return sequences;
  }

  #forward(tokens: Uint32Array, sequences: number): void {
    const { d_model: d, n_ctx, n_heads, d_mlp, d_vocab } = this.shape;
    const heap = this.#heap;
    const f = heap.floats;
    const rows = sequences * n_ctx;
    const attention = { sequences, length: n_ctx, heads: n_heads, width: d };
    const first = this.#blocks[0]?.x ?? this.#x;
    for (let row = 0; row < rows; row++) {
      const token = this.#wte.weight + tokens[row]! * d;
      const position = this.#wpe.weight + (row % n_ctx) * d;
      for (let i = 0; i < d; i++) f[first + row * d + i] = f[token + i]! + f[position + i]!;
    }
    this.#blocks.forEach((block, layer) => {
      const next = this.#blocks[layer + 1]?.x ?? this.#x;
      normForward(f, block.norm1, block.x, block.normed1, rows, d);
      linearForward(heap, block.qkvLayer, block.normed1, block.qkv, rows, false);
      attentionForward(heap, attention, block.qkv, block.z, block.patterns, this.#scratch);
      f.copyWithin(next, block.x, block.x + rows * d);
      linearForward(heap, block.outLayer, block.z, next, rows, true);
      normForward(f, block.norm2, next, block.normed2, rows, d);
      linearForward(heap, block.inLayer, block.normed2, block.hidden, rows, false);
      geluForward(f, block.hidden, block.activated, rows * d_mlp);
      linearForward(heap, block.mlpLayer, block.activated, next, rows, true);
    });
    normForward(f, this.#norm, this.#x, this.#normed, rows, d);
    const turned = heap.transposed(rowsOf(this.#wte.weight, d), d_vocab, d, this.#scratch);
    heap.multiply(rowsOf(this.#normed, d), turned, rowsOf(this.#logits, d_vocab), rows, d_vocab, d, false);
  }

  /** Turns the logits into probabilities; the losses of the predictions. */
  #crossEntropy(tokens: Uint32Array, sequences: number): Float64Array {
    const { n_ctx, d_vocab } = this.shape;
    const f = this.#heap.floats;
    const losses = new Float64Array(sequences * (n_ctx - 1));
    let prediction = 0;
    for (let row = 0; row < sequences * n_ctx; row++) {
      const at = this.#logits + row * d_vocab;
      let top = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < d_vocab; i++) top = Math.max(top, f[at + i]!);
      let sum = 0;
      const last = row % n_ctx === n_ctx - 1;
      const target = last ? 0 : f[at + tokens[row + 1]!]!;
      for (let i = 0; i < d_vocab; i++) {
        const value = Math.exp(f[at + i]! - top);
        f[at + i] = value;
        sum += value;
      }
      for (let i = 0; i < d_vocab; i++) f[at + i]! /= sum;
      if (!last) losses[prediction++] = Math.log(sum) + top - target;
    }
    return losses;
  }

  #backward(tokens: Uint32Array, sequences: number): void {
    const { d_model: d, n_ctx, n_heads, d_mlp, d_vocab } = this.shape;
    const heap = this.#heap;
    const f = heap.floats;
    const rows = sequences * n_ctx;
    const attention = { sequences, length: n_ctx, heads: n_heads, width: d };
    this.#logitGradients(tokens, sequences);
    const logits = rowsOf(this.#logits, d_vocab);
    const narrow = this.#dnarrow;
    heap.multiply(logits, rowsOf(this.#wte.weight, d), rowsOf(narrow, d), rows, d, d_vocab, false);
    const embedding = rowsOf(this.#wte.weightGradient, d);
    heap.multiply(transpose(logits), rowsOf(this.#normed, d), embedding, d_vocab, d, rows, true);
    f.fill(0, this.#dx, this.#dx + rows * d);
    normBackward(f, this.#norm, narrow, this.#dx, rows, d);
    for (const block of this.#blocks.toReversed()) {
      linearBackward(heap, block.mlpLayer, block.activated, this.#dx, this.#dwide, rows, this.#scratch);
      geluBackward(f, block.hidden, this.#dwide, rows * d_mlp);
      linearBackward(heap, block.inLayer, block.normed2, this.#dwide, narrow, rows, this.#scratch);
      normBackward(f, block.norm2, narrow, this.#dx, rows, d);
      linearBackward(heap, block.outLayer, block.z, this.#dx, narrow, rows, this.#scratch);
      attentionBackward(heap, attention, block.qkv, narrow, this.#dwide, block.patterns, this.#scratch);
      linearBackward(heap, block.qkvLayer, block.normed1, this.#dwide, narrow, rows, this.#scratch);
      normBackward(f, block.norm1, narrow, this.#dx, rows, d);
    }
    for (let row = 0; row < rows; row++) {
      const token = this.#wte.weightGradient + tokens[row]! * d;
      const position = this.#wpe.gradient + (row % n_ctx) * d;
      for (let i = 0; i < d; i++) {
        const gradient = f[this.#dx + row * d + i]!;
        f[token + i]! += gradient;
        f[position + i]! += gradient;
      }
    }
  }

  /** Probabilities to gradients of the mean loss: (p - 1 at the next token) / predictions; none at a last token. */
  #logitGradients(tokens: Uint32Array, sequences: number): void {
    const { n_ctx, d_vocab } = this.shape;
    const f = this.#heap.floats;
    const share = 1 / (sequences * (n_ctx - 1));
    for (let row = 0; row < sequences * n_ctx; row++) {
      const at = this.#logits + row * d_vocab;
      if (row % n_ctx === n_ctx - 1) {
        f.fill(0, at, at + d_vocab);
        continue;
      }
      for (let i = 0; i < d_vocab; i++) f[at + i]! *= share;
      f[at + tokens[row + 1]!]! -= share;
    }
  }
}
