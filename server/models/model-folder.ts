import { readdir } from "node:fs/promises";
import path from "node:path";
import { describeModel } from "../../gpu/lm/families/index.ts";
import { ModelConfigError, type ModelSpec, UnsupportedModelError } from "../../gpu/lm/model-spec.ts";
import type { WeightSource } from "../../gpu/lm/weights.ts";
import { hashSource } from "../artifacts/file-source.ts";
import { readJsonFile } from "../formats/json-file.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { readModelManifest } from "./manifest.ts";
import { asModelError, ModelFolderError } from "./model-folder-error.ts";
import { type OpenWeights, openShardedWeights, openWeightFile } from "./model-weights.ts";

export { ModelFolderError };

const configFile = "config.json";
const weightFile = "model.safetensors";
const indexFile = "model.safetensors.index.json";
export const tokenizerFile = "tokenizer.json";

/** A language model in a folder of Hugging Face's layout, open for reading. */
export interface ModelFolder {
  /** What it was imported from, a repository or a folder; of a folder that was not imported its own name. */
  readonly name: string;
  /** config.json, as it stands. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly spec: ModelSpec;
  /** Read from the disk slice by slice, as they are asked for. */
  readonly weights: WeightSource;
  /** Of its tokenizer.json; null where it has none. */
  readonly tokenizer_sha256: string | null;
  close(): Promise<void>;
}

/**
 * Opens config.json and the weights: model.safetensors, else the shards of model.safetensors.index.json. Everything in
 * the folder is taken for hostile; nothing of it is run.
 * @throws ModelFolderError for what is missing, damaged, of another format, or a model that cannot be run here.
 */
export async function openModelFolder(folder: string): Promise<ModelFolder> {
  const names = await namesIn(folder);
  const config = await readConfig(folder, names);
  const spec = specOf(folder, config);
  const name = await modelNameOf(folder);
  const tokenizer_sha256 = names.has(tokenizerFile) ? await hashOf(path.join(folder, tokenizerFile)) : null;
  const weights = await openWeightsIn(folder, names);
  return {
    name,
    config,
    spec,
    weights,
    tokenizer_sha256,
    close: () => weights.close(),
  };
}

/** What a model is called: by its manifest, else by its folder. Throws `ModelFolderError` where that says nonsense. */
export async function modelNameOf(folder: string): Promise<string> {
  const manifest = await readModelManifest(folder);
  if (manifest === null) return path.basename(path.resolve(folder));
  const { source } = manifest;
  return source.kind === "hub" ? source.repo : source.name;
}

async function hashOf(file: string): Promise<string> {
  try {
    const source = await openRegularFile(file);
    try {
      return await hashSource(source);
    } finally {
      await source.close();
    }
  } catch (error) {
    throw asModelError(file, error);
  }
}

async function namesIn(folder: string): Promise<ReadonlySet<string>> {
  try {
    return new Set(await readdir(folder));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new ModelFolderError(
        `There is no folder ${folder}. A model is a folder on this machine with ${configFile} and ${weightFile}, as hf download <model> --local-dir <folder> makes it.`,
        error,
      );
    }
    throw asModelError(folder, error);
  }
}

async function readConfig(folder: string, names: ReadonlySet<string>): Promise<Record<string, unknown>> {
  const file = path.join(folder, configFile);
  if (!names.has(configFile)) {
    throw new ModelFolderError(
      `${folder} has no ${configFile}, which says what model it holds. Copy or download the whole folder.`,
    );
  }
  try {
    return await readJsonFile(file);
  } catch (error) {
    throw asModelError(file, error);
  }
}

function specOf(folder: string, config: Record<string, unknown>): ModelSpec {
  try {
    return describeModel(config);
  } catch (error) {
    if (error instanceof UnsupportedModelError || error instanceof ModelConfigError) {
      throw new ModelFolderError(`${folder}: ${error.message}`, error);
    }
    throw error;
  }
}

function openWeightsIn(folder: string, names: ReadonlySet<string>): Promise<OpenWeights> {
  if (names.has(weightFile)) return openWeightFile(path.join(folder, weightFile));
  if (names.has(indexFile)) return openShardedWeights(path.join(folder, indexFile));
  const pickled = [...names].find((name) => /^pytorch_model.*\.bin$/.test(name));
  if (pickled !== undefined) {
    throw new ModelFolderError(
      `${folder} holds its weights in ${pickled}, a pickle, which may run code; only safetensors are read. In Python, ` +
        `transformers.AutoModelForCausalLM.from_pretrained("${folder}").save_pretrained("${folder}-safetensors") converts them.`,
    );
  }
  const shard = [...names].find((name) => name.endsWith(".safetensors"));
  throw new ModelFolderError(
    shard === undefined
      ? `${folder} holds no weights: neither ${weightFile} nor ${indexFile} is there. Copy or download the whole folder.`
      : `${folder} holds ${shard}, but neither ${weightFile} nor the index ${indexFile}. Copy or download the whole folder.`,
  );
}
