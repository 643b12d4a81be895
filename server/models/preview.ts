import type { TensorInfo } from "../../gpu/data/safetensors.ts";
import { describeModel } from "../../gpu/lm/families/index.ts";
import {
  ModelConfigError,
  type ModelSpec,
  parameterCount,
  UnsupportedModelError,
} from "../../gpu/lm/model-spec.ts";
import { readJsonSource } from "../formats/json-file.ts";
import { HubError } from "../hub/hub-error.ts";
import type { HubOptions } from "../hub/hub-options.ts";
import { type ModelSource, openSource, type SourceFiles } from "./import-source.ts";
import { checkWeights, configFile, tensorsOf, weightFilesOf } from "./import-weights.ts";
import type { ManifestSource } from "./manifest.ts";
import { asModelError, ModelFolderError } from "./model-folder-error.ts";

export type { ModelSource };

/** What a model is, before any of its weights is copied or downloaded. */
export interface ModelPreview {
  /** The folder's own name, or the repository's. */
  name: string;
  source: ManifestSource;
  /** Hugging Face's; null where config.json does not say it or cannot be had. */
  model_type: string | null;
  supported: boolean;
  /** Why it cannot be imported, and what to do about it; null: it can. */
  reason: string | null;
  /** Its terms must be accepted on the hub before a file is given. */
  gated: boolean;
  /** Of the model that config.json describes; null where it cannot be run. */
  sizes: ModelSizes | null;
  /** The tokenizer's own file is there. */
  tokenizer: boolean;
  /** Files that an import takes. */
  files: { name: string; bytes: number }[];
  /** Of these together: what is downloaded, or copied. */
  download_bytes: number;
  /** Numbers of the weights by the dtype that they are stored in. */
  stored: Record<string, number>;
}

export interface ModelSizes {
  parameters: number;
  layers: number;
  d_model: number;
  /** Longest sequence, in tokens. */
  context: number;
  vocabulary: number;
  /** Bytes that the parameters alone take in memory, in each precision. */
  memory: { f32: number; f16: number; int8: number };
}

/** Whatever of these is there is imported: it is small, and says how the model and its tokenizer are used. */
const smallFiles = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "vocab.txt",
  "tokenizer.model",
] as const;

/**
 * Looks at a model without its weights: config.json and the headers of the safetensors files, from the hub by range
 * requests. A model that cannot be imported is described as far as it goes, with the reason.
 * @param tell hears why it takes longer, such as a wait that the hub asks for
 * @throws HubError, ModelFolderError where there is no such folder, and the reason of `signal`
 */
export async function previewModel(
  source: ModelSource,
  hub: HubOptions,
  signal: AbortSignal,
  tell: (words: string) => void = () => undefined,
): Promise<ModelPreview> {
  return previewFiles(await openSource(source, hub, signal, tell), hub, signal);
}

/** The same of files that are listed already. */
export async function previewFiles(
  from: SourceFiles,
  hub: HubOptions,
  signal: AbortSignal,
): Promise<ModelPreview> {
  const known: Known = { model_type: null, spec: null, weights: [], tensors: new Map() };
  let reason: string | null = null;
  try {
    await learn(from, signal, known);
  } catch (error) {
    // Gated repositories list their files to everyone.
    if (!(error instanceof ModelFolderError || (error instanceof HubError && error.fault === "gated")))
      throw error;
    reason = error.message;
  }
  const names = [configFile, ...smallFiles, ...known.weights].filter((name) => from.files.has(name));
  const files = names.map((name) => ({ name, bytes: from.files.get(name)!.bytes }));
  const download_bytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (from.origin.kind === "hub" && download_bytes > hub.limit_bytes) {
    reason ??= `${from.name} takes ${download_bytes} bytes; ${hub.limit_bytes} is the most that is downloaded (FACET_DOWNLOAD_LIMIT_BYTES).`;
  }
  return {
    name: from.name,
    source: from.origin,
    model_type: known.model_type,
    supported: reason === null,
    reason,
    gated: from.gated,
    sizes: known.spec === null ? null : sizesOf(known.spec),
    tokenizer: from.files.has("tokenizer.json"),
    files,
    download_bytes,
    stored: storedNumbers(known.tensors),
  };
}

/** What is found out one after the other, until something keeps the model from being run. */
interface Known {
  model_type: string | null;
  spec: ModelSpec | null;
  weights: string[];
  tensors: ReadonlyMap<string, TensorInfo>;
}

async function learn(from: SourceFiles, signal: AbortSignal, known: Known): Promise<void> {
  if (!from.files.has(configFile)) {
    throw new ModelFolderError(
      `${from.name} has no ${configFile}, which says what model it holds. Name a language model in Hugging Face's layout.`,
    );
  }
  const label = `${from.name}: ${configFile}`;
  const config = await from
    .read(configFile, (source) => readJsonSource(label, source))
    .catch((error: unknown) => {
      throw asModelError(label, error);
    });
  known.model_type = typeof config.model_type === "string" ? config.model_type.slice(0, 100) : null;
  known.spec = specOf(from.name, config);
  known.weights = await weightFilesOf(from);
  known.tensors = await tensorsOf(from, known.weights, signal);
  checkWeights(from.name, known.spec, known.tensors);
}

function specOf(name: string, config: Record<string, unknown>): ModelSpec {
  try {
    return describeModel(config);
  } catch (error) {
    if (error instanceof UnsupportedModelError || error instanceof ModelConfigError) {
      throw new ModelFolderError(`${name}: ${error.message}`, error);
    }
    throw error;
  }
}

/** Of a model that its spec describes. */
export function sizesOf(spec: ModelSpec): ModelSizes {
  const parameters = parameterCount(spec);
  return {
    parameters,
    layers: spec.n_layers,
    d_model: spec.d_model,
    context: spec.n_ctx,
    vocabulary: spec.d_vocab,
    memory: { f32: 4 * parameters, f16: 2 * parameters, int8: parameters },
  };
}

function storedNumbers(tensors: ReadonlyMap<string, TensorInfo>): Record<string, number> {
  const stored: Record<string, number> = {};
  for (const { dtype, shape } of tensors.values()) {
    stored[dtype] = (stored[dtype] ?? 0) + shape.reduce((product, extent) => product * extent, 1);
  }
  return stored;
}
