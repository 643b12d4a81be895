import path from "node:path";
import {
  readFloats,
  readSafetensorsHeader,
  type SafetensorsHeader,
  type TensorInfo,
} from "../../gpu/data/safetensors.ts";
import type { WeightSource } from "../../gpu/lm/weights.ts";
import type { FileSource } from "../artifacts/file-source.ts";
import { isJsonObject, readJsonFile } from "../formats/json-file.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { describeTensor } from "../formats/tensor-file.ts";
import { asModelError, ModelFolderError } from "./model-folder-error.ts";

/** Files that are held open at once; the largest models that are published have fewer than 200 shards. */
const maxShards = 512;
/** A pointer that stands where `git lfs` would have put the file. */
const lfsPointer = "version https://git-lfs";

export interface OpenWeights extends WeightSource {
  close(): Promise<void>;
}

interface Stored {
  file: string;
  source: FileSource;
  info: TensorInfo;
}

/** A safetensors file of weights. Throws `ModelFolderError`. */
export async function openWeightFile(file: string): Promise<OpenWeights> {
  return openWeights([file], (header) => header.tensors.keys());
}

/**
 * The shards that an index `model.safetensors.index.json` names, as one source. Every tensor of the index must be in
 * the shard it names; what the shards hold beyond is not seen.
 * @throws ModelFolderError
 */
export async function openShardedWeights(index: string): Promise<OpenWeights> {
  const shards = await shardsOf(index);
  if (shards.size > maxShards) {
    throw new ModelFolderError(
      `${index} names ${shards.size} files; ${maxShards} is the most that are opened. Save the model in larger shards.`,
    );
  }
  const folder = path.dirname(index);
  return openWeights(
    [...shards.keys()].map((shard) => path.join(folder, shard)),
    (header, file) => {
      const names = shards.get(path.basename(file)) ?? [];
      const absent = names.filter((name) => !header.tensors.has(name));
      if (absent.length === 0) return names;
      throw new ModelFolderError(
        `${file} lacks ${listed(absent)}, which ${path.basename(index)} says it holds. Copy or download both again.`,
      );
    },
  );
}

/** Tensors of each shard by its file's name. */
async function shardsOf(index: string): Promise<Map<string, string[]>> {
  const { weight_map } = await readJsonFile(index).catch((error: unknown) => {
    throw asModelError(index, error);
  });
  if (!isJsonObject(weight_map) || Object.keys(weight_map).length === 0) {
    throw new ModelFolderError(
      `${index} has no weight_map that says which shard holds which tensor. Copy or download it again.`,
    );
  }
  const shards = new Map<string, string[]>();
  for (const [tensor, shard] of Object.entries(weight_map)) {
    if (typeof shard !== "string" || !isShardName(shard)) {
      throw new ModelFolderError(
        `${index} places ${shown(tensor)} in ${shown(shard)}; a shard is a .safetensors file beside the index, without a path. Do not use this folder unless you know who wrote it.`,
      );
    }
    const tensors = shards.get(shard);
    if (tensors === undefined) shards.set(shard, [tensor]);
    else tensors.push(tensor);
  }
  return shards;
}

/**
 * A plain file name. Links below such a name are followed: in Hugging Face's cache every file of a model is a link to
 * another folder.
 */
function isShardName(name: string): boolean {
  return /^[^./\\\0][^/\\\0]*\.safetensors$/.test(name) && name.length <= 255;
}

/** @param namesIn The tensors to take from a file. */
async function openWeights(
  files: readonly string[],
  namesIn: (header: SafetensorsHeader, file: string) => Iterable<string>,
): Promise<OpenWeights> {
  const sources: FileSource[] = [];
  const close = async () => {
    for (const source of sources) await source.close();
  };
  const tensors = new Map<string, Stored>();
  const missing: string[] = [];
  try {
    for (const file of files) {
      const source = await openShard(file);
      if (source === null) {
        missing.push(path.basename(file));
        continue;
      }
      sources.push(source);
      const header = await headerOf(file, source);
      for (const name of namesIn(header, file)) {
        tensors.set(name, { file, source, info: header.tensors.get(name)! });
      }
    }
    if (missing.length > 0) {
      throw new ModelFolderError(
        `${path.dirname(files[0]!)} lacks ${missing.length} of the model's ${files.length} files: ${listed(missing)}. Copy or download them.`,
      );
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { ...reader(tensors), close };
}

/** Null where there is no such file. */
async function openShard(file: string): Promise<FileSource | null> {
  try {
    return await openRegularFile(file);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : null;
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw asModelError(file, error);
  }
}

async function headerOf(file: string, source: FileSource): Promise<SafetensorsHeader> {
  try {
    const start = await source.read(0, Math.min(lfsPointer.length, source.size));
    if (Buffer.from(start).toString("latin1") === lfsPointer) {
      throw new ModelFolderError(
        `${file} is a pointer of git LFS, not the weights. Run git lfs pull in its folder.`,
      );
    }
    return await readSafetensorsHeader(source);
  } catch (error) {
    throw asModelError(file, error);
  }
}

function reader(tensors: ReadonlyMap<string, Stored>): WeightSource {
  const stored = (name: string): Stored => {
    const found = tensors.get(name);
    if (found === undefined) throw new ModelFolderError(`The model's files hold no tensor ${shown(name)}.`);
    return found;
  };
  return {
    names: new Set(tensors.keys()),
    shape: (name) => stored(name).info.shape,
    async rows(name, first, count) {
      const { file, source, info } = stored(name);
      if (info.dtype !== "F32" && info.dtype !== "F16" && info.dtype !== "BF16") {
        throw new ModelFolderError(
          `${file}: ${name} is ${describeTensor(info)}; weights are F32, F16 or BF16. Save the model in one of these; quantised ones are not read.`,
        );
      }
      const width = info.shape.slice(1).reduce((product, extent) => product * extent, 1);
      try {
        return await readFloats(source, info, first * width, count * width);
      } catch (error) {
        throw asModelError(file, error);
      }
    },
  };
}

function listed(names: readonly string[]): string {
  const more = names.length - 5;
  return names.slice(0, 5).map(shown).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** A name from a file, short enough for a message. */
function shown(name: unknown): string {
  const text = JSON.stringify(name) ?? "nothing";
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
