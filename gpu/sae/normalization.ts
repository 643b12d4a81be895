import type { OpenSource } from "../data/source.ts";
import type { Gpu } from "../device/gpu.ts";
import { readFloat32 } from "../device/readback.ts";
import { isTranscoder } from "./architecture.ts";
import type { TrainingConfig } from "./config.ts";
import type { StepBuffers } from "./memory.ts";
import type { StepSizes } from "./sizes.ts";

/** Rows beyond which estimates gain nothing. */
const mostRows = 32_768;

/**
 * The fixed part of normalisation, x' = scale · (x − mean): a scale per hook point, a mean per column. The target's is
 * empty where the input is what is reconstructed. Per-token methods have scale 1 and mean 0 here.
 */
export interface Normalization {
  /** [points] */
  input_scale: Float32Array<ArrayBuffer>;
  /** [points · width_in], in the raw space. */
  input_mean: Float32Array<ArrayBuffer>;
  /** [1] or [] */
  target_scale: Float32Array<ArrayBuffer>;
  /** [width_out] or [] */
  target_mean: Float32Array<ArrayBuffer>;
}

/** Puts it where the kernels read it: scales, then means. */
export function uploadNormalization(
  gpu: Gpu,
  buffers: Pick<StepBuffers, "input_normalization" | "target_normalization">,
  { input_scale, input_mean, target_scale, target_mean }: Normalization,
): void {
  const { queue } = gpu.device;
  queue.writeBuffer(buffers.input_normalization, 0, input_scale);
  queue.writeBuffer(buffers.input_normalization, input_scale.byteLength, input_mean);
  if (target_scale.length === 0) return;
  queue.writeBuffer(buffers.target_normalization, 0, target_scale);
  queue.writeBuffer(buffers.target_normalization, target_scale.byteLength, target_mean);
}

/** What is measured on the first activations before training. */
export interface Estimates {
  normalization: Normalization;
  /** Initial b_dec in the normalised space, [points · width_out]. */
  b_dec: Float32Array;
}

/**
 * Reads the first training batches (they are trained on later all the same) and estimates scales, means and b_dec.
 * @param raw f32 [train_batch_size_tokens, raw_width], usage COPY_SRC; overwritten.
 * @throws RangeError for activations without length or with numbers that are not finite.
 */
export async function estimate(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: StepSizes,
  source: OpenSource,
  raw: GPUBuffer,
): Promise<Estimates> {
  const { points, width_in, width_out, transcoder } = sizes;
  const normalization: Normalization = {
    input_scale: new Float32Array(points).fill(1),
    input_mean: new Float32Array(points * width_in),
    target_scale: new Float32Array(transcoder ? 1 : 0).fill(1),
    target_mean: new Float32Array(transcoder ? width_out : 0),
  };
  const b_dec = new Float32Array(points * width_out);
  const normalize = config.normalize_activations === "expected_average_only_in";
  if (!normalize && !config.center_activations && config.b_dec_init_method === "zeros") {
    return { normalization, b_dec };
  }
  const rows = await readFirstRows(gpu, config, sizes, source, raw);
  /** Scales and centres one hook point in place, and returns it. */
  const prepare = (first: number, width: number, scale: Float32Array, mean_: Float32Array, point: number) => {
    const own = columns(rows, sizes.raw_width, first, width);
    if (config.center_activations) {
      const center = mean(own, width);
      mean_.set(center, point * width);
      for (let i = 0; i < own.length; i++) own[i]! -= Math.fround(center[i % width]!);
    }
    if (normalize) {
      const factor = Math.sqrt(width) / meanNorm(own, width);
      if (!Number.isFinite(factor)) {
        throw new RangeError(
          "The activations' mean norm is zero or not finite, so they cannot be normalised. Check the activation set.",
        );
      }
      scale[point] = factor;
      for (let i = 0; i < own.length; i++) own[i]! *= scale[point]!;
    }
    normalizeTokens(own, width, config.normalize_activations);
    return own;
  };
  for (let point = 0; point < points; point++) {
    const input = prepare(
      point * width_in,
      width_in,
      normalization.input_scale,
      normalization.input_mean,
      point,
    );
    const output = isTranscoder(config.architecture)
      ? prepare(width_in, width_out, normalization.target_scale, normalization.target_mean, 0)
      : input;
    b_dec.set(centerOf(output, width_out, config.b_dec_init_method), point * width_out);
  }
  return { normalization, b_dec };
}

async function readFirstRows(
  gpu: Gpu,
  config: TrainingConfig,
  { raw_width }: StepSizes,
  source: OpenSource,
  raw: GPUBuffer,
): Promise<Float32Array> {
  const { train_batch_size_tokens: batchRows } = config;
  const batches = Math.min(config.n_batches_for_norm_estimate, Math.ceil(mostRows / batchRows));
  const kept = Math.min(batchRows, mostRows);
  const rows = new Float32Array(batches * kept * raw_width);
  for (let batch = 0; batch < batches; batch++) {
    await source.ready("training", batch, batchRows);
    const encoder = gpu.device.createCommandEncoder({ label: "estimate" });
    source.encodeBatch(encoder, raw, "training", batch, batchRows);
    gpu.device.queue.submit([encoder.finish()]);
    rows.set(await readFloat32(gpu, raw, 0, 4 * kept * raw_width), batch * kept * raw_width);
  }
  return rows;
}

/** Columns [first, first + width) of rows [n, raw_width], copied. */
function columns(rows: Float32Array, raw_width: number, first: number, width: number): Float32Array {
  const n = rows.length / raw_width;
  const own = new Float32Array(n * width);
  for (let r = 0; r < n; r++) {
    const start = r * raw_width + first;
    own.set(rows.subarray(start, start + width), r * width);
  }
  return own;
}

/** Per-token normalisation in place, as shaders/token_norms.wgsl. */
function normalizeTokens(
  rows: Float32Array,
  width: number,
  method: TrainingConfig["normalize_activations"],
): void {
  if (method !== "constant_norm_rescale" && method !== "layer_norm") return;
  for (let start = 0; start < rows.length; start += width) {
    const row = rows.subarray(start, start + width);
    const shift = method === "layer_norm" ? row.reduce((sum, x) => sum + x, 0) / width : 0;
    const square = row.reduce((sum, x) => sum + (x - shift) ** 2, 0);
    const factor =
      square === 0
        ? 0
        : method === "layer_norm"
          ? 1 / (Math.sqrt(square / (width - 1)) + 1e-5)
          : Math.sqrt(width / square);
    for (let i = 0; i < width; i++) row[i] = (row[i]! - shift) * factor;
  }
}

function centerOf(
  rows: Float32Array,
  width: number,
  method: TrainingConfig["b_dec_init_method"],
): Float64Array {
  switch (method) {
    case "zeros":
      return new Float64Array(width);
    case "mean":
      return mean(rows, width);
    case "geometric_median":
      return geometricMedian(rows, width);
  }
}

/** Mean Euclidean norm of rows [n, d_in]. */
function meanNorm(rows: Float32Array, d_in: number): number {
  let sum = 0;
  for (let start = 0; start < rows.length; start += d_in) {
    let square = 0;
    for (let i = start; i < start + d_in; i++) square += rows[i]! ** 2;
    sum += Math.sqrt(square);
  }
  return sum / (rows.length / d_in);
}

/** Mean of rows [n, d_in]. */
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
