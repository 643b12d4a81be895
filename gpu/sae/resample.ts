import type { Gpu } from "../device/gpu.ts";
import { readFloat32, readUint32 } from "../device/readback.ts";
import type { TrainingConfig } from "./config.ts";
import type { StepBuffers } from "./memory.ts";
import type { Normalization } from "./normalization.ts";
import { type PlacedTensor, paddedLayout, placedParameters } from "./parameters.ts";
import { RandomStream } from "./random.ts";
import type { StepSizes } from "./sizes.ts";
import { download } from "./state.ts";

/*
 * Resampling of dead features (Bricken et al. 2023, Towards Monosemanticity, appendix "Neuron resampling"):
 *   the loss of the model is computed on many inputs; each dead feature draws one of them with probability proportional
 *   to the square of its loss; its decoder row becomes that input at norm 1, its encoder row the same direction at 0.2
 *   of the mean norm of the living features' encoder rows, its biases zero; Adam forgets all of it.
 * "Input" is what encoder and decoder see: less b_dec, and the target's row for a transcoder's decoder.
 */

/** Of the mean encoder norm of the living features. */
const encoderShare = 0.2;

/** Whether features are resampled before the step that follows `step` steps. */
export function resamplesBefore(config: TrainingConfig, step: number): boolean {
  const { resample, resample_every_steps, resample_times } = config;
  return (
    resample && step > 0 && step % resample_every_steps === 0 && step / resample_every_steps <= resample_times
  );
}

export interface Resampling {
  gpu: Gpu;
  config: TrainingConfig;
  sizes: StepSizes;
  buffers: StepBuffers;
  normalization: Normalization;
  /** Steps taken so far. */
  step: number;
  /** Inputs whose losses are computed. */
  tokens: number;
  /** Submits the evaluation of a batch of so many rows; raw rows and token losses stand in their buffers after it. */
  forward(batch: number, rows: number): Promise<void>;
}

/** Gives every dead feature a new start. The same run gives the same choice. Resolves to how many there were. */
export async function resample(options: Resampling): Promise<number> {
  const { gpu, config, sizes, buffers } = options;
  const window = Math.floor((config.resample_every_steps * sizes.rows) / 2);
  const ages = await readUint32(gpu, buffers.tokens_since_fired);
  const dead = [...ages.keys()].filter((f) => f < sizes.d_sae && ages[f]! > window);
  if (dead.length === 0) return 0;
  const batches = Math.ceil(options.tokens / sizes.rows);
  const rows = Math.floor(options.tokens / batches);
  const chosen = await chooseTokens(options, batches, rows, dead.length);
  const inputs = await readTokens(options, chosen, rows);
  await restart(options, dead, inputs);
  return dead.length;
}

/** Tokens, one a dead feature, drawn with replacement in proportion to their squared losses. */
async function chooseTokens(
  { gpu, config, buffers, step, forward }: Resampling,
  batches: number,
  rows: number,
  count: number,
): Promise<number[]> {
  const cumulative = new Float64Array(batches * rows);
  let sum = 0;
  for (let batch = 0; batch < batches; batch++) {
    await forward(batch, rows);
    const losses = await readFloat32(gpu, buffers.token_losses, 0, 4 * rows);
    for (let row = 0; row < rows; row++) {
      sum += losses[row]! ** 2;
      cumulative[batch * rows + row] = sum;
    }
  }
  const random = new RandomStream((config.seed ^ Math.imul(step, 0x9e3779b1)) >>> 0);
  return Array.from({ length: count }, () => {
    const wanted = random.uniform() * sum;
    let low = 0;
    let high = cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (cumulative[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  });
}

/** What encoder and decoder see of a token, in the normalised space. */
interface TokenRows {
  input: Float32Array;
  target: Float32Array;
}

async function readTokens(
  { gpu, sizes, buffers, forward }: Resampling,
  tokens: readonly number[],
  rows: number,
): Promise<TokenRows[]> {
  const result = new Map<number, TokenRows>();
  const wanted = [...new Set(tokens)].sort((a, b) => a - b);
  let shown = -1;
  for (const token of wanted) {
    const batch = Math.floor(token / rows);
    if (batch !== shown) await forward(batch, rows);
    shown = batch;
    const read = (buffer: GPUBuffer, stride: number) =>
      readFloat32(gpu, buffer, 16 * stride * (token % rows), 16 * stride);
    const input = await read(buffers.x, sizes.stride_in);
    const target = sizes.transcoder ? await read(buffers.y, sizes.stride_out) : input;
    result.set(token, { input, target });
  }
  return tokens.map((token) => result.get(token)!);
}

async function restart(
  { gpu, config, sizes, buffers }: Resampling,
  dead: readonly number[],
  inputs: readonly TokenRows[],
): Promise<void> {
  const placed = placedParameters(sizes, buffers);
  const encoder = placed.find(({ name }) => name === "W_enc")!;
  const encoderNorm = encoderShare * (await meanNormBut(gpu, encoder, new Set(dead), sizes.d_sae));
  const write = (
    buffer: GPUBuffer,
    offset: number,
    data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
  ) => gpu.device.queue.writeBuffer(buffer, offset, data);
  dead.forEach((f, index) => {
    const { input, target } = inputs[index]!;
    const values: Record<string, Float32Array<ArrayBuffer>> = {
      W_enc: ofNorm(input, encoderNorm),
      W_dec: ofNorm(target, 1),
      threshold: new Float32Array([config.jumprelu_init_threshold]),
    };
    for (const prefix of ["", "m_", "v_", ...(config.ema_decay === null ? [] : ["ema_"])] as const) {
      const moments = prefix === "m_" || prefix === "v_";
      for (const { name, buffer, offset, shape, points } of placedParameters(
        sizes,
        buffers,
        prefix as "" | "m_" | "v_" | "ema_",
      )) {
        if (name === "b_dec" || name === "W_skip") continue;
        const { pitch } = paddedLayout({ shape, points });
        const length = shape.length === 1 ? 1 : points * pitch;
        const zeros = new Float32Array(length);
        write(buffer, offset + 4 * f * length, moments ? zeros : (values[name] ?? zeros));
      }
    }
    write(buffers.tokens_since_fired, 4 * f, new Uint32Array(1));
  });
}

function ofNorm(row: Float32Array, norm: number): Float32Array<ArrayBuffer> {
  const length = Math.hypot(...row);
  return Float32Array.from(row, (value) => (length === 0 ? 0 : (norm * value) / length));
}

async function meanNormBut(
  gpu: Gpu,
  tensor: PlacedTensor,
  dead: ReadonlySet<number>,
  d_sae: number,
): Promise<number> {
  const { data } = await download(gpu, tensor);
  const width = data.length / d_sae;
  let sum = 0;
  for (let f = 0; f < d_sae; f++) {
    if (!dead.has(f)) sum += Math.hypot(...data.subarray(f * width, (f + 1) * width));
  }
  return dead.size === d_sae ? 1 : sum / (d_sae - dead.size);
}
