import type { Gpu } from "../device/gpu.ts";
import type { TrainingConfig } from "./config.ts";
import { StateMismatchError } from "./errors.ts";
import type { StepBuffers } from "./memory.ts";
import { placedParameters } from "./parameters.ts";
import { RandomStream } from "./random.ts";
import type { StateTensor } from "./sae.ts";
import type { StepSizes } from "./sizes.ts";
import { upload } from "./state.ts";

/**
 * Puts fresh parameters in place. Decoder rows point in random directions, with norm 1 (decoder_norm "unit") or
 * decoder_init_norm, each hook point of a crosscoder with decoder_init_norm of its own; W_enc equals W_dec (so the
 * transpose, in SAELens' orientation), or has directions of its own where input and target differ or
 * init_encoder_as_decoder_transpose is off; thresholds are jumprelu_init_threshold; everything else is zero, as
 * allocated. What `init` gives takes the place of these.
 * @throws StateMismatchError when `init` has a tensor that the architecture has not, or of another shape.
 */
export function initializeParameters(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: StepSizes,
  buffers: StepBuffers,
  b_dec: Float32Array,
  init: Record<string, StateTensor> = {},
): void {
  const placed = placedParameters(sizes, buffers);
  const given = givenParameters(placed, init);
  const values: Record<string, Float32Array> = {
    ...randomWeights(config, sizes),
    b_dec,
    threshold: new Float32Array(sizes.d_sae).fill(config.jumprelu_init_threshold),
    ...given,
  };
  const averages = placedParameters(sizes, buffers, "ema_");
  placed.forEach((tensor, index) => {
    const value = values[tensor.name];
    if (value === undefined) return;
    upload(gpu, tensor, value);
    if (config.ema_decay !== null) upload(gpu, averages[index]!, value);
  });
}

function randomWeights(
  config: TrainingConfig,
  { d_sae, points, width_in, width_out, transcoder }: StepSizes,
): { W_enc: Float32Array; W_dec: Float32Array } {
  const random = new RandomStream(config.seed);
  const norm = config.decoder_norm === "unit" ? 1 / Math.sqrt(points) : config.decoder_init_norm;
  const directions = (width: number) => {
    const weights = new Float32Array(d_sae * points * width);
    const direction = new Float64Array(width);
    for (let start = 0; start < weights.length; start += width) {
      let square = 0;
      for (let i = 0; i < width; i++) {
        direction[i] = random.normal();
        square += direction[i]! ** 2;
      }
      const scale = norm / Math.sqrt(square);
      for (let i = 0; i < width; i++) weights[start + i] = scale * direction[i]!;
    }
    return weights;
  };
  const W_dec = directions(width_out);
  const tied = config.init_encoder_as_decoder_transpose && !transcoder;
  return { W_dec, W_enc: tied ? W_dec : directions(width_in) };
}

/** Given tensors from SAELens' orientation to the GPU's. */
function givenParameters(
  placed: readonly { name: string; shape: number[] }[],
  init: Record<string, StateTensor>,
): Record<string, Float32Array> {
  const result: Record<string, Float32Array> = {};
  for (const [name, { shape, data }] of Object.entries(init)) {
    const wanted = placed.find((tensor) => tensor.name === name);
    if (wanted === undefined) {
      const known = placed.map((tensor) => tensor.name).join(", ");
      throw new StateMismatchError(`it has no parameter ${name}, but ${known}`);
    }
    const expected = name === "W_enc" ? wanted.shape.toReversed() : wanted.shape;
    if (shape.join() !== expected.join() || !(data instanceof Float32Array)) {
      throw new StateMismatchError(`${name} is [${shape.join(", ")}], expected f32 [${expected.join(", ")}]`);
    }
    result[name] = name === "W_enc" ? transposed(data, expected[0]!, expected[1]!) : data;
  }
  return result;
}

/** [rows, columns] to [columns, rows]. */
export function transposed(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = data[r * columns + c]!;
  }
  return result;
}
