import { float32FromBf16, float32FromF16, float32FromF32 } from "../../gpu/data/float16.ts";
import type { SafetensorsHeader, TensorInfo } from "../../gpu/data/safetensors.ts";
import { ServiceError } from "../errors.ts";
import { type FileSource, openFile } from "./file-source.ts";

/** Input that cannot become an activation set, or a set on disk that cannot be used; the message says why. */
export class ActivationSetError extends ServiceError {
  override readonly name = "ActivationSetError";
  constructor(message: string, cause?: unknown) {
    const faults = [{ path: "path", message }];
    super("invalid", message, cause === undefined ? { faults } : { faults, cause });
  }
}

/** Opens a file; `name` is what messages call it. Throws `ActivationSetError`. */
export async function openSafetensors(file: string, name: string): Promise<FileSource> {
  try {
    return await openFile(file);
  } catch (error) {
    throw new ActivationSetError(
      `${name} cannot be read: ${error instanceof Error ? error.message : error}.`,
      error,
    );
  }
}

/** A tensor of activations [n_tokens, d_in] in a file, or [n_sequences, length, d_in]. */
export interface ActivationTensor {
  info: TensorInfo;
  dtype: "F32" | "F16" | "BF16";
  /** Of all sequences. */
  n_tokens: number;
  d_in: number;
}

function floatDtype(info: TensorInfo): ActivationTensor["dtype"] | null {
  return info.dtype === "F32" || info.dtype === "F16" || info.dtype === "BF16" ? info.dtype : null;
}

/**
 * The tensor of activations: `wanted`, or without it `activations`, else the only two-dimensional tensor of numbers,
 * else the only three-dimensional one, whose sequences follow one another.
 * @param file The file's name, for messages.
 * @throws ActivationSetError
 */
export function chooseTensor(
  header: SafetensorsHeader,
  wanted: string | undefined,
  file: string,
): ActivationTensor {
  const all = [...header.tensors.values()];
  const ofRank = (rank: number) =>
    all.filter((info) => info.shape.length === rank && floatDtype(info) !== null);
  const candidates = ofRank(2).length > 0 ? ofRank(2) : ofRank(3);
  const found = wanted
    ? all.filter((info) => info.name === wanted)
    : header.tensors.has("activations")
      ? all.filter((info) => info.name === "activations")
      : candidates;
  const [info] = found;
  if (!info || found.length > 1) {
    const list = all.slice(0, 10).map((one) => `${one.name} ${one.dtype} [${one.shape.join(", ")}]`);
    const sought = wanted
      ? `no tensor "${wanted}"`
      : found.length > 1
        ? "several tensors that could be the activations; name one"
        : "no tensor of activations [n_tokens, d_in]";
    throw new ActivationSetError(`${file} has ${sought}. It holds: ${list.join("; ") || "nothing"}.`);
  }
  const dtype = floatDtype(info);
  const d_in = info.shape.at(-1);
  if (dtype === null || ![2, 3].includes(info.shape.length) || d_in === undefined) {
    throw new ActivationSetError(
      `${file}: "${info.name}" is ${info.dtype} [${info.shape.join(", ")}]; activations are F32, F16 or BF16 [n_tokens, d_in] or [n_sequences, length, d_in].`,
    );
  }
  const n_tokens = info.shape.slice(0, -1).reduce((product, extent) => product * extent, 1);
  if (n_tokens < 1 || d_in < 1 || d_in > 65_536) {
    throw new ActivationSetError(
      `${file}: "${info.name}" is [${info.shape.join(", ")}]; there must be a token, and d_in must be 1 to 65536.`,
    );
  }
  return { info, dtype, n_tokens, d_in };
}

/**
 * The hook point of a file's tensor by the file's `__metadata__`: `hook_name`, or the tensor's own name where that is
 * among the `hook_names` of `facet capture`.
 */
export function hookNameOf(metadata: ReadonlyMap<string, string>, tensor: string): string | undefined {
  const captured = metadata.get("hook_names")?.split(",") ?? [];
  return metadata.get("hook_name") ?? captured.find((name) => name === tensor);
}

/** Stored numbers as float32. */
export function toFloat32(dtype: ActivationTensor["dtype"], bytes: Uint8Array): Float32Array<ArrayBuffer> {
  if (dtype === "F16") return float32FromF16(bytes);
  return dtype === "BF16" ? float32FromBf16(bytes) : float32FromF32(bytes);
}
