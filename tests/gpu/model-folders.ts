import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { toHalf } from "../reference/half.ts";
import type { HuggingFaceModel, Tensor } from "../reference/lm/hugging-face.ts";
import { safetensorsWith } from "../reference/safetensors-writer.ts";

export type WeightDtype = "F32" | "F16" | "BF16";

/** Writes a model as Hugging Face does: config.json, and model.safetensors or, of several shards, their index. */
export async function writeModelFolder(
  folder: string,
  { config, tensors }: HuggingFaceModel,
  { dtype = "F32", shards = 1 }: { dtype?: WeightDtype; shards?: number } = {},
): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "config.json"), JSON.stringify(config));
  const all = [...tensors];
  if (shards === 1) {
    await writeFile(path.join(folder, "model.safetensors"), fileOf(all, dtype));
    return folder;
  }
  const weight_map: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const part = all.filter((_, index) => index % shards === shard);
    const name = `model-${String(shard + 1).padStart(5, "0")}-of-${String(shards).padStart(5, "0")}.safetensors`;
    await writeFile(path.join(folder, name), fileOf(part, dtype));
    for (const [tensor] of part) weight_map[tensor] = name;
  }
  const index = JSON.stringify({ metadata: { total_size: 0 }, weight_map });
  await writeFile(path.join(folder, "model.safetensors.index.json"), index);
  return folder;
}

/** The model whose weights are those that a file of that dtype holds. */
export function rounded({ config, tensors }: HuggingFaceModel, dtype: WeightDtype): HuggingFaceModel {
  const round = (value: number) =>
    dtype === "F32" ? value : dtype === "F16" ? toHalf(value) : fromBrain(brainBits(value));
  return {
    config,
    tensors: new Map(
      [...tensors].map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data, round) }]),
    ),
  };
}

/** A safetensors file of `input_ids` [sequences, length] in I64, as PyTorch gives them. */
export async function writeTokens(file: string, sequences: readonly (readonly number[])[]): Promise<string> {
  const shape = [sequences.length, sequences[0]?.length ?? 0];
  const ids = BigInt64Array.from(sequences.flat(), BigInt);
  const header = { input_ids: { dtype: "I64", shape, data_offsets: [0, ids.byteLength] } };
  await writeFile(file, safetensorsWith(JSON.stringify(header), new Uint8Array(ids.buffer)));
  return file;
}

function fileOf(tensors: readonly (readonly [string, Tensor])[], dtype: WeightDtype): Buffer {
  const entries: Record<string, object> = {};
  const data: Buffer[] = [];
  let end = 0;
  for (const [name, { shape, data: values }] of tensors) {
    const bytes = bytesOf(values, dtype);
    entries[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
    data.push(bytes);
  }
  return safetensorsWith(JSON.stringify({ __metadata__: { format: "pt" }, ...entries }), Buffer.concat(data));
}

function bytesOf(values: ArrayLike<number>, dtype: WeightDtype): Buffer {
  if (dtype === "F32") return Buffer.from(Float32Array.from(values).buffer);
  return Buffer.from(Uint16Array.from(values, dtype === "F16" ? halfBits : brainBits).buffer);
}

/** Bits of the f16 nearest to a finite number below 65520. */
function halfBits(value: number): number {
  const half = Math.abs(toHalf(value));
  const sign = value < 0 ? 0x8000 : 0;
  if (half < 2 ** -14) return sign | (half * 2 ** 24);
  const exponent = Math.floor(Math.log2(half));
  return sign | ((exponent + 15) << 10) | ((half / 2 ** exponent - 1) * 1_024);
}

/** Bits of the bf16 nearest to a finite number, ties to even. */
function brainBits(value: number): number {
  const [bits = 0] = new Uint32Array(Float32Array.of(value).buffer);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function fromBrain(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}
