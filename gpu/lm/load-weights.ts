import type { Gpu } from "../device/gpu.ts";
import type { CanonicalWeight } from "./canonical-weights.ts";
import type { FamilyWeights, TensorPart } from "./families/family.ts";
import { groupPitch, pitch, place, width } from "./layout.ts";
import { quoted } from "./model-spec.ts";
import { packHalves, packRows } from "./pack-weights.ts";
import { numberBytes, type Precision, storedAs } from "./precision.ts";
import type { WeightPlan } from "./program.ts";
import type { WeightSource } from "./weights.ts";

/** Largest piece of a weight that is in memory on its way to the GPU. */
const uploadSliceBytes = 16 * 2 ** 20;

/** The files have not what the config describes; the message names the tensor. */
export class ModelWeightsError extends Error {
  override readonly name = "ModelWeightsError";
}

/** A weight holds a number that f16 does not; the message names the tensor. */
export class WeightRangeError extends Error {
  override readonly name = "WeightRangeError";
}

/** A canonical weight's tensor, found and of the right shape. */
export interface FoundWeight {
  plan: WeightPlan;
  tensor: string;
  transposed: boolean;
  first: number;
  block: number;
  stride: number;
}

/** The tensor that a weight lies in: the names it may have, the usual one first, and its shape. */
export function tensorOf(
  names: FamilyWeights,
  weight: CanonicalWeight,
): { names: string[]; shape: number[] } {
  const { layer, rows, columns } = weight;
  const { tensor, total = width(rows), transposed = false } = partOf(names, weight);
  const within = layer === null ? tensor : `${names.layer(layer)}${tensor}`;
  return {
    names: names.prefixes.map((prefix) => prefix + within),
    shape: columns === null ? [total] : transposed ? [width(columns), total] : [total, width(columns)],
  };
}

/** @throws ModelWeightsError where the tensor is missing or has another shape. Reads nothing. */
export function findWeight(weights: WeightSource, names: FamilyWeights, plan: WeightPlan): FoundWeight {
  const { name, rows } = plan.weight;
  const part = partOf(names, plan.weight);
  const { names: possible, shape: expected } = tensorOf(names, plan.weight);
  const tensor = possible.find((full) => weights.names.has(full));
  if (tensor === undefined) {
    throw new ModelWeightsError(
      `The model's ${name} is not in its files: there is no tensor ${quoted(possible[0]!)}.`,
    );
  }
  const shape = weights.shape(tensor);
  if (shape.length !== expected.length || expected.some((extent, i) => shape[i] !== extent)) {
    throw new ModelWeightsError(
      `Tensor ${quoted(tensor)} has the shape [${shape.join(", ")}], but config.json makes it [${expected.join(", ")}].`,
    );
  }
  const block = part.block ?? width(rows);
  return {
    plan,
    tensor,
    transposed: part.transposed ?? false,
    first: part.first ?? 0,
    block,
    stride: part.stride ?? block,
  };
}

function partOf(names: FamilyWeights, { name, layer }: CanonicalWeight): TensorPart {
  const place =
    layer === null
      ? names.model[name as keyof typeof names.model]
      : names.block[name as keyof typeof names.block];
  if (place === undefined) throw new Error(`The model's family has no name for ${name}.`);
  return typeof place === "string" ? { tensor: place } : place;
}

/** Where a weight goes. */
export interface WeightTarget {
  buffer: GPUBuffer;
  /** Of the model. */
  precision: Precision;
  /** f32 [padded rows]; null where the weight has no scales. */
  scales: GPUBuffer | null;
}

/**
 * Writes a weight into its zero-filled buffer, [rows, columns] each padded by its layout, slice by slice, each rounded
 * to the weight's precision on its way.
 * @param sliceBytes most bytes of f32 that are held at once, of a row at least.
 * @throws ModelWeightsError for numbers that are not finite where f32 is not kept, WeightRangeError beyond f16.
 */
export async function uploadWeight(
  gpu: Gpu,
  weights: WeightSource,
  found: FoundWeight,
  { buffer, precision, scales }: WeightTarget,
  sliceBytes = uploadSliceBytes,
): Promise<void> {
  const { plan, first, block, stride } = found;
  const { rows, weight } = plan;
  const step = weight.columns === null ? 1 : pitch(weight.columns);
  const stored = storedAs(weight, precision);
  const most = Math.max(1, Math.floor(sliceBytes / (4 * step)));
  for (let row = 0; row < width(rows); ) {
    const inWeight = plan.first + row;
    // Rows that follow one another both in the tensor and in the buffer.
    const count = Math.min(
      most,
      width(rows) - row,
      block - (inWeight % block),
      rows.size - (row % rows.size),
    );
    const from = first + Math.floor(inWeight / block) * stride + (inWeight % block);
    const data = found.transposed
      ? await readColumns(weights, found, from, count, sliceBytes)
      : await readRows(weights, found, from, count);
    const { numbers, rowScales } = packed(data, step, stored, found.tensor);
    gpu.device.queue.writeBuffer(buffer, numberBytes[stored] * place(rows, row) * step, numbers);
    if (rowScales !== null) gpu.device.queue.writeBuffer(scales!, 4 * place(rows, row), rowScales);
    // What is written is in memory until the queue has taken it.
    if (data.byteLength > uploadSliceBytes / 4) await drained(gpu);
    row += count;
  }
}

interface Packed {
  numbers: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int8Array<ArrayBuffer>;
  rowScales: Float32Array<ArrayBuffer> | null;
}

/** @param data f32 [rows, width] */
function packed(data: Float32Array<ArrayBuffer>, width: number, stored: Precision, tensor: string): Packed {
  if (stored === "f32") return { numbers: data, rowScales: null };
  if (data.some((value) => !Number.isFinite(value))) {
    throw new ModelWeightsError(
      `Tensor ${quoted(tensor)} holds numbers that are not finite: it is damaged, or made for another model.`,
    );
  }
  if (stored === "int8") {
    const { numbers, scales } = packRows(data, width);
    return { numbers, rowScales: scales };
  }
  const { halves, beyond } = packHalves(data);
  if (beyond >= 0) {
    throw new WeightRangeError(
      `Tensor ${quoted(tensor)} holds ${data[beyond]}, and f16 ends at 65504. Run the model in f32.`,
    );
  }
  return { numbers: halves, rowScales: null };
}

/** Lets the driver free what it keeps of writes so far. */
export async function drained({ device }: Gpu): Promise<void> {
  device.queue.submit([]);
  await device.queue.onSubmittedWorkDone();
}

async function readRows(
  weights: WeightSource,
  { tensor, plan }: FoundWeight,
  first: number,
  count: number,
): Promise<Float32Array<ArrayBuffer>> {
  const data = await weights.rows(tensor, first, count);
  const { columns } = plan.weight;
  if (columns === null || pitch(columns) === width(columns)) return data;
  const padded = new Float32Array(count * pitch(columns));
  for (let row = 0; row < count; row++) {
    for (let group = 0; group < columns.groups; group++) {
      const from = (row * columns.groups + group) * columns.size;
      const to = (row * columns.groups + group) * groupPitch(columns);
      padded.set(data.subarray(from, from + columns.size), to);
    }
  }
  return padded;
}

/** Columns of a tensor as padded rows; the tensor is walked through once for each slice of them. */
async function readColumns(
  weights: WeightSource,
  { tensor, plan }: FoundWeight,
  first: number,
  count: number,
  sliceBytes: number,
): Promise<Float32Array<ArrayBuffer>> {
  const columns = plan.weight.columns;
  if (columns === null) throw new Error(`${plan.weight.name} is a vector, which has no columns.`);
  const [inputs, total] = weights.shape(tensor) as [number, number];
  const step = pitch(columns);
  const padded = new Float32Array(count * step);
  const most = Math.max(1, Math.floor(sliceBytes / (4 * total)));
  for (let input = 0; input < inputs; input += most) {
    const taken = Math.min(most, inputs - input);
    const data = await weights.rows(tensor, input, taken);
    for (let i = 0; i < taken; i++) {
      const column = place(columns, input + i);
      for (let row = 0; row < count; row++) padded[row * step + column] = data[i * total + first + row]!;
    }
  }
  return padded;
}
