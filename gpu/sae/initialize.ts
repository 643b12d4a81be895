import type { OpenSource } from "../data/source.ts";
import type { Gpu } from "../device/gpu.ts";
import { readFloat32 } from "../device/readback.ts";
import type { TrainingConfig } from "./config.ts";

/** Rows beyond which estimates gain nothing. */
const mostRows = 32_768;

/** What is measured on the first activations before training. */
export interface Estimates {
  /** √d_in / mean‖x‖, or 1 without normalisation. */
  activation_scale: number;
  /** Initial b_dec in the scaled space, [d_in]. */
  b_dec: Float32Array;
}

/**
 * Reads the first training batches (they are trained on later all the same) and estimates the scale and b_dec.
 * @param raw f32 [train_batch_size_tokens, d_in], usage COPY_SRC; overwritten.
 */
export async function estimate(
  gpu: Gpu,
  config: TrainingConfig,
  source: OpenSource,
  raw: GPUBuffer,
): Promise<Estimates> {
  const { d_in } = config;
  const normalize = config.normalize_activations === "expected_average_only_in";
  if (!normalize && config.b_dec_init_method === "zeros") {
    return { activation_scale: 1, b_dec: new Float32Array(d_in) };
  }
  const rows = await readFirstRows(gpu, config, source, raw);
  const activation_scale = normalize ? Math.sqrt(d_in) / meanNorm(rows, d_in) : 1;
  if (!Number.isFinite(activation_scale)) {
    throw new RangeError(
      "The activations' mean norm is zero or not finite, so they cannot be normalised. Check the activation set.",
    );
  }
  const center = centerOf(rows, d_in, config.b_dec_init_method);
  return { activation_scale, b_dec: Float32Array.from(center, (x) => activation_scale * x) };
}

async function readFirstRows(
  gpu: Gpu,
  config: TrainingConfig,
  source: OpenSource,
  raw: GPUBuffer,
): Promise<Float32Array> {
  const { d_in, train_batch_size_tokens: batchRows } = config;
  const batches = Math.min(config.n_batches_for_norm_estimate, Math.ceil(mostRows / batchRows));
  const kept = Math.min(batchRows, mostRows);
  const rows = new Float32Array(batches * kept * d_in);
  for (let batch = 0; batch < batches; batch++) {
    await source.ready("training", batch, batchRows);
    const encoder = gpu.device.createCommandEncoder({ label: "estimate" });
    source.encodeBatch(encoder, raw, "training", batch, batchRows);
    gpu.device.queue.submit([encoder.finish()]);
    rows.set(await readFloat32(gpu, raw, 0, 4 * kept * d_in), batch * kept * d_in);
  }
  return rows;
}

function meanNorm(rows: Float32Array, d_in: number): number {
  let sum = 0;
  for (let start = 0; start < rows.length; start += d_in) {
    let square = 0;
    for (let i = start; i < start + d_in; i++) square += rows[i]! ** 2;
    sum += Math.sqrt(square);
  }
  return sum / (rows.length / d_in);
}

function centerOf(
  rows: Float32Array,
  d_in: number,
  method: TrainingConfig["b_dec_init_method"],
): Float64Array {
  switch (method) {
    case "zeros":
      return new Float64Array(d_in);
    case "mean":
      return mean(rows, d_in);
    case "geometric_median":
      return geometricMedian(rows, d_in);
  }
}

function mean(rows: Float32Array, d_in: number): Float64Array {
  const sum = new Float64Array(d_in);
  for (let i = 0; i < rows.length; i++) sum[i % d_in]! += rows[i]!;
  return sum.map((x) => x / (rows.length / d_in));
}

/**
 * The point whose distances to all rows have the smallest sum, by Weiszfeld's iteration from the mean, until it moves
 * by less than 1e-6 of its rows' mean distance, 100 times at most.
 */
export function geometricMedian(rows: Float32Array, d_in: number): Float64Array {
  let center = mean(rows, d_in);
  for (let iteration = 0; iteration < 100; iteration++) {
    const next = new Float64Array(d_in);
    let weights = 0;
    let distances = 0;
    for (let start = 0; start < rows.length; start += d_in) {
      let square = 0;
      for (let i = 0; i < d_in; i++) square += (rows[start + i]! - center[i]!) ** 2;
      const distance = Math.sqrt(square);
      // A row at the centre itself would have infinite weight.
      const weight = 1 / Math.max(distance, 1e-12);
      for (let i = 0; i < d_in; i++) next[i]! += weight * rows[start + i]!;
      weights += weight;
      distances += distance;
    }
    let moved = 0;
    for (let i = 0; i < d_in; i++) {
      next[i]! /= weights;
      moved += (next[i]! - center[i]!) ** 2;
    }
    center = next;
    if (Math.sqrt(moved) <= (1e-6 * distances) / (rows.length / d_in)) break;
  }
  return center;
}
