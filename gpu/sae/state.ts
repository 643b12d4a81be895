import type { Gpu } from "../device/gpu.ts";
import { readBuffer } from "../device/readback.ts";
import { steeringWords } from "../kernels/steer.ts";
import type { TrainingConfig } from "./config.ts";
import { StateMismatchError } from "./errors.ts";
import type { StepBuffers } from "./memory.ts";
import type { Normalization } from "./normalization.ts";
import { type PlacedTensor, paddedLayout, placedParameters } from "./parameters.ts";
import type { StateTensor } from "./sae.ts";
import type { StepSizes } from "./sizes.ts";
import type { TrainerState } from "./trainer.ts";

/** Every tensor of the training state that lies on the GPU, by its name in TrainerState. */
function stateTensors(config: TrainingConfig, sizes: StepSizes, b: StepBuffers): PlacedTensor[] {
  const named = (prefix: string, tensors: PlacedTensor[]) =>
    tensors.map((tensor) => ({ ...tensor, name: prefix + tensor.name }));
  const vector = (name: string, count: number, buffer: GPUBuffer, kind: "f32" | "u32"): PlacedTensor => ({
    name,
    shape: [count],
    buffer,
    offset: 0,
    points: 1,
    kind,
  });
  return [
    ...placedParameters(sizes, b),
    ...named("adam_m.", placedParameters(sizes, b, "m_")),
    ...named("adam_v.", placedParameters(sizes, b, "v_")),
    ...(config.ema_decay === null ? [] : named("ema.", placedParameters(sizes, b, "ema_"))),
    vector("tokens_since_fired", sizes.d_sae, b.tokens_since_fired, "u32"),
    vector("steering", steeringWords, b.steering, "f32"),
  ];
}

export async function download(gpu: Gpu, tensor: PlacedTensor): Promise<StateTensor> {
  const { rows, width, pitch } = paddedLayout(tensor);
  // The last row's padding need not be there.
  const bytes = await readBuffer(gpu, tensor.buffer, tensor.offset, 4 * ((rows - 1) * pitch + width));
  const padded = tensor.kind === "f32" ? new Float32Array(bytes) : new Uint32Array(bytes);
  if (rows === 1 || width === pitch) return { shape: tensor.shape, data: padded };
  const data = tensor.kind === "f32" ? new Float32Array(rows * width) : new Uint32Array(rows * width);
  for (let r = 0; r < rows; r++) data.set(padded.subarray(r * pitch, r * pitch + width), r * width);
  return { shape: tensor.shape, data };
}

export function upload(gpu: Gpu, tensor: PlacedTensor, data: Float32Array | Uint32Array): void {
  const { rows, width, pitch } = paddedLayout(tensor);
  let padded = data;
  if (rows > 1 && width !== pitch) {
    padded = tensor.kind === "f32" ? new Float32Array(rows * pitch) : new Uint32Array(rows * pitch);
    for (let r = 0; r < rows; r++) padded.set(data.subarray(r * width, (r + 1) * width), r * pitch);
  }
  gpu.device.queue.writeBuffer(
    tensor.buffer,
    tensor.offset,
    padded.buffer,
    padded.byteOffset,
    padded.byteLength,
  );
}

/** Everything a resumed trainer needs, after all work submitted so far. */
export async function downloadState(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: StepSizes,
  buffers: StepBuffers,
  step: number,
  normalization: Normalization,
): Promise<TrainerState> {
  const tensors: Record<string, StateTensor> = {};
  for (const tensor of stateTensors(config, sizes, buffers)) {
    tensors[tensor.name] = await download(gpu, tensor);
  }
  for (const [name, data] of Object.entries(normalization)) tensors[name] = { shape: [data.length], data };
  return { step, tensors };
}

/**
 * Puts a state in place and returns its normalisation.
 * @throws StateMismatchError when a tensor is missing or has another shape or type; nothing is uploaded then.
 */
export function uploadState(
  gpu: Gpu,
  config: TrainingConfig,
  sizes: StepSizes,
  buffers: StepBuffers,
  { tensors }: TrainerState,
): Normalization {
  const placed = stateTensors(config, sizes, buffers);
  const given = placed.map(({ name, shape, kind }) => matching(tensors, name, shape, kind));
  const { points, width_in, width_out, transcoder } = sizes;
  const vector = (name: string, count: number) =>
    matching(tensors, name, [count], "f32") as Float32Array<ArrayBuffer>;
  const normalization = {
    input_scale: vector("input_scale", points),
    input_mean: vector("input_mean", points * width_in),
    target_scale: vector("target_scale", transcoder ? 1 : 0),
    target_mean: vector("target_mean", transcoder ? width_out : 0),
  };
  placed.forEach((tensor, index) => {
    upload(gpu, tensor, given[index]!);
  });
  return normalization;
}

function matching(
  tensors: Record<string, StateTensor>,
  name: string,
  shape: number[],
  kind: "f32" | "u32",
): Float32Array | Uint32Array {
  const given = tensors[name];
  if (given === undefined) throw new StateMismatchError(`it has no tensor ${name}`);
  const count = shape.reduce((a, b) => a * b, 1);
  const found = given.data instanceof Float32Array ? "f32" : "u32";
  if (given.shape.join() !== shape.join() || given.data.length !== count || found !== kind) {
    throw new StateMismatchError(
      `${name} is ${found} [${given.shape.join(", ")}], expected ${kind} [${shape.join(", ")}]`,
    );
  }
  return given.data;
}
