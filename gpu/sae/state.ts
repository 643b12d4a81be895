import type { Gpu } from "../device/gpu.ts";
import { readBuffer } from "../device/readback.ts";
import type { TrainingConfig } from "./config.ts";
import { StateMismatchError } from "./errors.ts";
import { RandomStream } from "./random.ts";
import type { TopkBuffers } from "./topk-memory.ts";
import type { SaeTensors, StateTensor, TrainerState } from "./trainer.ts";

/** A tensor on the GPU whose rows are padded to whole vec4f. */
interface PaddedTensor {
  name: string;
  shape: number[];
  buffer: GPUBuffer;
  kind: "f32" | "u32";
}

/** Every tensor of the training state, by its name in TrainerState. */
function stateTensors({ d_in, d_sae }: TrainingConfig, b: TopkBuffers): PaddedTensor[] {
  const shapes = { W_enc: [d_sae, d_in], W_dec: [d_sae, d_in], b_enc: [d_sae], b_dec: [d_in] };
  const names = ["W_enc", "W_dec", "b_enc", "b_dec"] as const;
  return [
    ...names.map((n) => ({ name: n, shape: shapes[n], buffer: b[n], kind: "f32" as const })),
    ...names.map((n) => ({
      name: `adam_m.${n}`,
      shape: shapes[n],
      buffer: b[`m_${n}`],
      kind: "f32" as const,
    })),
    ...names.map((n) => ({
      name: `adam_v.${n}`,
      shape: shapes[n],
      buffer: b[`v_${n}`],
      kind: "f32" as const,
    })),
    { name: "tokens_since_fired", shape: [d_sae], buffer: b.tokens_since_fired, kind: "u32" },
  ];
}

/** Elements of a row, and elements from one row to the next on the GPU. A vector is one row. */
function rowOf({ shape }: { shape: number[] }): { rows: number; columns: number; pitch: number } {
  const columns = shape.at(-1)!;
  return { rows: shape.length === 1 ? 1 : shape[0]!, columns, pitch: 4 * Math.ceil(columns / 4) };
}

async function download(gpu: Gpu, tensor: PaddedTensor): Promise<StateTensor> {
  const { rows, columns, pitch } = rowOf(tensor);
  const bytes = await readBuffer(gpu, tensor.buffer);
  const padded = tensor.kind === "f32" ? new Float32Array(bytes) : new Uint32Array(bytes);
  if (rows === 1 || columns === pitch)
    return { shape: tensor.shape, data: padded.subarray(0, rows * columns) };
  const data = tensor.kind === "f32" ? new Float32Array(rows * columns) : new Uint32Array(rows * columns);
  for (let r = 0; r < rows; r++) data.set(padded.subarray(r * pitch, r * pitch + columns), r * columns);
  return { shape: tensor.shape, data };
}

function upload(gpu: Gpu, tensor: PaddedTensor, data: Float32Array | Uint32Array): void {
  const { rows, columns, pitch } = rowOf(tensor);
  let padded = data;
  if (rows > 1 && columns !== pitch) {
    padded = tensor.kind === "f32" ? new Float32Array(rows * pitch) : new Uint32Array(rows * pitch);
    for (let r = 0; r < rows; r++) padded.set(data.subarray(r * columns, (r + 1) * columns), r * pitch);
  }
  gpu.device.queue.writeBuffer(tensor.buffer, 0, padded.buffer, padded.byteOffset, padded.byteLength);
}

/** Everything a resumed trainer needs, after all work submitted so far. */
export async function downloadState(
  gpu: Gpu,
  config: TrainingConfig,
  buffers: TopkBuffers,
  step: number,
  activation_scale: number,
): Promise<TrainerState> {
  const tensors: Record<string, StateTensor> = {};
  for (const tensor of stateTensors(config, buffers)) tensors[tensor.name] = await download(gpu, tensor);
  return { step, activation_scale, tensors };
}

/** @throws StateMismatchError when a tensor is missing or has another shape or type. */
export function uploadState(
  gpu: Gpu,
  config: TrainingConfig,
  buffers: TopkBuffers,
  { tensors }: TrainerState,
): void {
  for (const tensor of stateTensors(config, buffers)) {
    const given = tensors[tensor.name];
    if (given === undefined) throw new StateMismatchError(`it has no tensor ${tensor.name}`);
    const kind = given.data instanceof Float32Array ? "f32" : "u32";
    const count = tensor.shape.reduce((a, b) => a * b, 1);
    if (given.shape.join() !== tensor.shape.join() || given.data.length !== count || kind !== tensor.kind) {
      throw new StateMismatchError(
        `${tensor.name} is ${kind} [${given.shape.join(", ")}], expected ${tensor.kind} [${tensor.shape.join(", ")}]`,
      );
    }
    upload(gpu, tensor, given.data);
  }
}

/**
 * Fresh parameters: decoder rows in random directions, of norm 1 (decoder_norm "unit") or decoder_init_norm; W_enc equal
 * to W_dec (so the transpose, in SAELens' orientation); b_enc zero. Everything else starts at zero, as allocated.
 */
export function initializeState(
  gpu: Gpu,
  config: TrainingConfig,
  buffers: TopkBuffers,
  b_dec: Float32Array,
): void {
  const { d_in, d_sae } = config;
  const norm = config.decoder_norm === "unit" ? 1 : config.decoder_init_norm;
  const random = new RandomStream(config.seed);
  const weights = new Float32Array(d_sae * d_in);
  const direction = new Float64Array(d_in);
  for (let f = 0; f < d_sae; f++) {
    let square = 0;
    for (let i = 0; i < d_in; i++) {
      direction[i] = random.normal();
      square += direction[i]! ** 2;
    }
    const scale = norm / Math.sqrt(square);
    for (let i = 0; i < d_in; i++) weights[f * d_in + i] = scale * direction[i]!;
  }
  const initial: Record<string, Float32Array> = { W_enc: weights, W_dec: weights, b_dec };
  for (const tensor of stateTensors(config, buffers)) {
    const data = initial[tensor.name];
    if (data !== undefined) upload(gpu, tensor, data);
  }
}

/** The SAE for use on raw activations, in SAELens' orientation: W_enc · s, W_dec / s, b_dec / s; z is unchanged. */
export async function downloadSae(
  gpu: Gpu,
  config: TrainingConfig,
  buffers: TopkBuffers,
  activation_scale: number,
): Promise<SaeTensors> {
  const { d_in, d_sae } = config;
  const tensors = new Map(stateTensors(config, buffers).map((tensor) => [tensor.name, tensor]));
  const read = async (name: keyof SaeTensors) =>
    (await download(gpu, tensors.get(name)!)).data as Float32Array;
  const rows = await read("W_enc");
  const W_enc = new Float32Array(rows.length);
  for (let f = 0; f < d_sae; f++) {
    for (let i = 0; i < d_in; i++) W_enc[i * d_sae + f] = activation_scale * rows[f * d_in + i]!;
  }
  const W_dec = (await read("W_dec")).map((w) => w / activation_scale);
  const b_dec = (await read("b_dec")).map((b) => b / activation_scale);
  return {
    W_enc: { shape: [d_in, d_sae], data: W_enc },
    b_enc: { shape: [d_sae], data: await read("b_enc") },
    W_dec: { shape: [d_sae, d_in], data: W_dec },
    b_dec: { shape: [d_in], data: b_dec },
  };
}
