import { type Heap, rowsOf, transpose } from "./heap.ts";

/** Causal attention of several heads over sequences, between `qkv` [rows, 3 * width] and `z` [rows, width]. */
export interface AttentionShape {
  sequences: number;
  length: number;
  heads: number;
  width: number;
}

interface Head {
  q: ReturnType<typeof rowsOf>;
  k: ReturnType<typeof rowsOf>;
  v: ReturnType<typeof rowsOf>;
  z: ReturnType<typeof rowsOf>;
  /** Its pattern [length, length]. */
  pattern: number;
}

function* eachHead(shape: AttentionShape, qkv: number, z: number, patterns: number): Generator<Head> {
  const { sequences, length, heads, width } = shape;
  const size = width / heads;
  for (let sequence = 0; sequence < sequences; sequence++) {
    for (let head = 0; head < heads; head++) {
      const at = qkv + sequence * length * 3 * width + head * size;
      yield {
        q: rowsOf(at, 3 * width),
        k: rowsOf(at + width, 3 * width),
        v: rowsOf(at + 2 * width, 3 * width),
        z: rowsOf(z + sequence * length * width + head * size, width),
        pattern: patterns + (sequence * heads + head) * length * length,
      };
    }
  }
}

/** z = softmax(q kᵀ / sqrt(size)) v; keeps the patterns [sequences, heads, length, length]. */
export function attentionForward(
  heap: Heap,
  shape: AttentionShape,
  qkv: number,
  z: number,
  patterns: number,
  scratch: number,
): void {
  const { length, heads, width } = shape;
  const size = width / heads;
  for (const head of eachHead(shape, qkv, z, patterns)) {
    const pattern = rowsOf(head.pattern, length);
    const turned = heap.transposed(head.k, length, size, scratch);
    heap.multiply(head.q, turned, pattern, length, length, size, false);
    softmax(heap.floats, head.pattern, length, size ** -0.5);
    heap.multiply(pattern, head.v, head.z, length, size, length, false);
  }
}

function softmax(f: Float32Array, pattern: number, length: number, scale: number): void {
  for (let query = 0; query < length; query++) {
    const at = pattern + query * length;
    let top = Number.NEGATIVE_INFINITY;
    for (let key = 0; key <= query; key++) top = Math.max(top, f[at + key]!);
    let sum = 0;
    for (let key = 0; key <= query; key++) {
      const value = Math.exp((f[at + key]! - top) * scale);
      f[at + key] = value;
      sum += value;
    }
    for (let key = 0; key <= query; key++) f[at + key]! /= sum;
    f.fill(0, at + query + 1, at + length);
  }
}

/** dqkv from dz. @param scratch room for [length, length] and [length, width / heads]. */
export function attentionBackward(
  heap: Heap,
  shape: AttentionShape,
  qkv: number,
  dz: number,
  dqkv: number,
  patterns: number,
  scratch: number,
): void {
  const { length, heads, width } = shape;
  const size = width / heads;
  const gradients = eachHead(shape, dqkv, dz, patterns);
  for (const head of eachHead(shape, qkv, dz, patterns)) {
    const gradient = gradients.next().value as Head;
    const pattern = rowsOf(head.pattern, length);
    const scores = rowsOf(scratch, length);
    const turned = heap.transposed(head.v, length, size, scratch + length * length);
    heap.multiply(head.z, turned, scores, length, length, size, false);
    heap.multiply(transpose(pattern), head.z, gradient.v, length, size, length, false);
    softmaxBackward(heap.floats, head.pattern, scratch, length, size ** -0.5);
    heap.multiply(scores, head.k, gradient.q, length, size, length, false);
    heap.multiply(transpose(scores), head.q, gradient.k, length, size, length, false);
  }
}

function softmaxBackward(
  f: Float32Array,
  pattern: number,
  scores: number,
  length: number,
  scale: number,
): void {
  for (let query = 0; query < length; query++) {
    const p = pattern + query * length;
    const d = scores + query * length;
    let along = 0;
    for (let key = 0; key <= query; key++) along += f[p + key]! * f[d + key]!;
    for (let key = 0; key <= query; key++) f[d + key] = f[p + key]! * (f[d + key]! - along) * scale;
    f.fill(0, d + query + 1, d + length);
  }
}
