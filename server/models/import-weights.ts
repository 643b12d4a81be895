import { readSafetensorsHeader, type TensorInfo } from "../../gpu/data/safetensors.ts";
import { canonicalWeights } from "../../gpu/lm/canonical-weights.ts";
import { familyWeights } from "../../gpu/lm/families/index.ts";
import { findWeight, ModelWeightsError } from "../../gpu/lm/load-weights.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import type { WeightSource } from "../../gpu/lm/weights.ts";
import { isJsonObject, readJsonSource } from "../formats/json-file.ts";
import type { SourceFiles } from "./import-source.ts";
import { asModelError, ModelFolderError } from "./model-folder-error.ts";

export const configFile = "config.json";
const weightFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";
/** As many as are opened when the model is used. */
const maxShards = 512;
/** A pointer that stands where `git lfs` would have put the file. */
const lfsPointer = "version https://git-lfs";

/** The files that hold the weights, their index among them. Throws `ModelFolderError`. */
export async function weightFilesOf({ name, files, read }: SourceFiles): Promise<string[]> {
  if (files.has(weightFile)) return [weightFile];
  if (!files.has(indexFile)) throw new ModelFolderError(withoutWeights(name, [...files.keys()]));
  const { weight_map } = await read(indexFile, (source) => readJsonSource(indexFile, source)).catch(
    (error: unknown) => {
      throw asModelError(indexFile, error);
    },
  );
  const shards = new Set(isJsonObject(weight_map) ? Object.values(weight_map) : []);
  if (shards.size === 0 || shards.size > maxShards) {
    throw new ModelFolderError(
      `${name}: ${indexFile} names ${shards.size} files of weights; there must be 1 to ${maxShards}.`,
    );
  }
  const missing = [...shards].filter(
    (shard) => typeof shard !== "string" || !/^[^./\\][^/\\]*\.safetensors$/.test(shard) || !files.has(shard),
  );
  if (missing.length === 0) return [indexFile, ...([...shards] as string[]).sort()];
  const some = missing.slice(0, 5).map((shard) => JSON.stringify(shard)?.slice(0, 100));
  throw new ModelFolderError(
    `${name} lacks ${missing.length} of the ${shards.size} files of weights that ${indexFile} names: ${some.join(", ")}.`,
  );
}

function withoutWeights(name: string, files: readonly string[]): string {
  const pickled = files.find((file) => /\.(bin|pt|pth|ckpt)$/.test(file));
  if (pickled === undefined)
    return `${name} holds no weights: neither ${weightFile} nor ${indexFile} is there.`;
  return (
    `${name} holds its weights in ${pickled}, a pickle, which may run code; only safetensors are read. Look for a ` +
    "revision or a copy of the model with safetensors (many repositories have one under refs/pr), or convert it in " +
    'Python: transformers.AutoModelForCausalLM.from_pretrained("<model>").save_pretrained("<folder>").'
  );
}

/** The tensors of files of weights, by their headers; nothing else is read. Throws `ModelFolderError`. */
export async function tensorsOf(
  { name, read }: SourceFiles,
  files: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, TensorInfo>> {
  const tensors = new Map<string, TensorInfo>();
  for (const file of files.filter((one) => one.endsWith(".safetensors"))) {
    signal.throwIfAborted();
    const header = await read(file, async (source) => {
      const start = await source.read(0, Math.min(lfsPointer.length, source.size));
      if (Buffer.from(start).toString("latin1") === lfsPointer) {
        throw new ModelFolderError(
          `${name}: ${file} is a pointer of git LFS, not the weights. Run git lfs pull in its folder.`,
        );
      }
      return readSafetensorsHeader(source);
    }).catch((error: unknown) => {
      throw asModelError(`${name}: ${file}`, error);
    });
    for (const [tensor, info] of header.tensors) tensors.set(tensor, info);
  }
  return tensors;
}

/**
 * Whether every weight of the whole model is there, by names and shapes alone.
 * @throws ModelFolderError
 */
export function requireWeights(name: string, spec: ModelSpec, weights: WeightSource): void {
  const names = familyWeights(spec);
  for (const weight of canonicalWeights(spec)) {
    found(name, weights, names, { weight, first: 0, rows: weight.rows });
  }
}

/** Throws `ModelFolderError` where a weight that the model needs is missing, has another shape, or cannot be read. */
export function checkWeights(name: string, spec: ModelSpec, tensors: ReadonlyMap<string, TensorInfo>): void {
  const source: WeightSource = {
    names: new Set(tensors.keys()),
    shape: (tensor) => tensors.get(tensor)!.shape,
    rows: () => Promise.reject(new ModelFolderError(`Only the headers of ${name} are read.`)),
  };
  const names = familyWeights(spec);
  for (const weight of canonicalWeights(spec)) {
    const { tensor } = found(name, source, names, { weight, first: 0, rows: weight.rows });
    const { dtype } = tensors.get(tensor)!;
    if (dtype === "F32" || dtype === "F16" || dtype === "BF16") continue;
    throw new ModelFolderError(
      `${name}: ${JSON.stringify(tensor)} is ${dtype}; weights are F32, F16 or BF16, and quantised ones are not read.`,
    );
  }
}

function found(
  name: string,
  ...[source, names, plan]: Parameters<typeof findWeight>
): ReturnType<typeof findWeight> {
  try {
    return findWeight(source, names, plan);
  } catch (error) {
    if (!(error instanceof ModelWeightsError)) throw error;
    throw new ModelFolderError(`${name}: ${error.message}`, error);
  }
}
