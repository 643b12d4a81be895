import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import {
  type ByteSource,
  readFloats,
  readSafetensorsHeader,
  type SafetensorsHeader,
  safetensorsPieces,
  tensorInfo,
} from "../../gpu/data/safetensors.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { SaeTensors, StateTensor } from "../../gpu/sae/trainer.ts";
import { ServiceError } from "../errors.ts";
import { type FolderWriter, type WrittenFolder, writeFolder } from "./atomic-folder.ts";
import { openFile } from "./file-source.ts";

/**
 * SAELens v6's folder of one SAE: `cfg.json`, `sae_weights.safetensors`, `sparsity.safetensors`, `runner_cfg.json`.
 * `SAE.load_from_disk` of SAELens reads it as it is. No dates, no ids: equal runs give equal bytes.
 */

/** SAELens release the layout was tried against; loaders take 6.0.0 and later for this layout. */
const saeLensVersion = "6.38.0";

const metadataSchema = z.looseObject({
  sae_lens_version: z.string().regex(/^([6-9]|\d\d+)\./, "must be 6.0.0 or later"),
  model_name: z.string().nullable(),
  hook_name: z.string(),
  dataset_path: z.string().nullable(),
});

const cfgSchema = z.strictObject({
  architecture: z.literal("topk"),
  d_in: z.number().int().min(1),
  d_sae: z.number().int().min(1),
  dtype: z.literal("float32"),
  device: z.literal("cpu"),
  apply_b_dec_to_input: z.boolean(),
  normalize_activations: z.literal("none"),
  reshape_activations: z.literal("none"),
  k: z.number().int().min(1),
  rescale_acts_by_decoder_norm: z.literal(false),
  metadata: metadataSchema,
});
export type SaeCfg = z.output<typeof cfgSchema>;

/** What an SAE was made of, besides its configuration. */
export interface SaeProvenance {
  hook_name: string;
  model_name: string | null;
  dataset_name: string | null;
  /** Description of the data, e.g. the synthetic configuration or the activation set's hash; plain JSON. */
  source: unknown;
  facet_version: string;
}

/** A folder that is not an SAE in SAELens' layout, or weights that may not be written as one. */
export class SaeFolderError extends ServiceError {
  override readonly name = "SaeFolderError";
  constructor(message: string, cause?: unknown) {
    super("unavailable", message, cause === undefined ? {} : { cause });
  }
}

/**
 * Writes the folder, whole or not at all. `feature_frequency` [d_sae] in [0, 1] becomes SAELens' `sparsity`
 * log10(frequency + 1e-10). Throws `SaeFolderError` for weights that are not finite, `StorageError` from the disk.
 */
export async function writeSaeFolder(
  folder: string,
  sae: SaeTensors,
  feature_frequency: Float32Array,
  config: TrainingConfig,
  provenance: SaeProvenance,
): Promise<WrittenFolder> {
  const { d_in, d_sae } = config;
  const tensors = shapes(d_in, d_sae).map(({ name, shape }) => {
    const { data } = sae[name];
    if (!(data instanceof Float32Array) || !data.every(Number.isFinite)) {
      throw new SaeFolderError(
        `${name} is not finite, so no SAE was written. Go on from an earlier checkpoint with a lower learning rate.`,
      );
    }
    return { name, shape, data };
  });
  const sparsity = feature_frequency.map((frequency) => Math.log10(frequency + 1e-10));
  const cfg: SaeCfg = {
    architecture: config.architecture,
    d_in,
    d_sae,
    dtype: "float32",
    device: "cpu",
    apply_b_dec_to_input: config.apply_b_dec_to_input,
    // The scale is folded into the weights, which take raw activations.
    normalize_activations: "none",
    reshape_activations: "none",
    k: config.k,
    rescale_acts_by_decoder_norm: false,
    metadata: {
      sae_lens_version: saeLensVersion,
      sae_lens_training_version: null,
      model_name: provenance.model_name,
      hook_name: provenance.hook_name,
      hook_name_out: null,
      hook_head_index: null,
      context_size: null,
      prepend_bos: null,
      dataset_path: provenance.dataset_name,
      exclude_special_tokens: null,
      seqpos_slice: null,
      model_class_name: null,
      model_from_pretrained_kwargs: null,
      neuronpedia_id: null,
      training_architecture: config.architecture,
    },
  };
  const runner = {
    trained_by: "facet",
    facet_version: provenance.facet_version,
    hook_name: provenance.hook_name,
    model_name: provenance.model_name,
    dataset_name: provenance.dataset_name,
    source: provenance.source,
    sae: config,
  };
  return writeFolder(folder, async (writer) => {
    await writeJson(writer, "cfg.json", cfg);
    await writer.file("sae_weights.safetensors", safetensorsPieces(tensors));
    await writer.file(
      "sparsity.safetensors",
      safetensorsPieces([{ name: "sparsity", shape: [d_sae], data: sparsity }]),
    );
    await writeJson(writer, "runner_cfg.json", runner);
  });
}

function writeJson(writer: FolderWriter, name: string, value: unknown) {
  return writer.file(name, [new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)]);
}

function shapes(d_in: number, d_sae: number): { name: keyof SaeTensors; shape: number[] }[] {
  return [
    { name: "W_enc", shape: [d_in, d_sae] },
    { name: "b_enc", shape: [d_sae] },
    { name: "W_dec", shape: [d_sae, d_in] },
    { name: "b_dec", shape: [d_in] },
  ];
}

export interface SaeFolder {
  cfg: SaeCfg;
  tensors: SaeTensors;
  /** log10(firing frequency + 1e-10), [d_sae]. */
  sparsity: Float32Array;
}

/** Reads a folder and checks it as strictly as SAELens' loader: exactly these keys, tensors, shapes and dtypes. */
export async function readSaeFolder(folder: string): Promise<SaeFolder> {
  const cfg = await readCfg(folder);
  const wanted = shapes(cfg.d_in, cfg.d_sae);
  const weights = await withFile(folder, "sae_weights.safetensors", async (source, header) => {
    const unexpected = [...header.tensors.keys()].filter((name) => !wanted.some((one) => one.name === name));
    if (unexpected.length > 0)
      throw new SaeFolderError(`${folder} has unexpected tensors: ${unexpected.join(", ")}.`);
    const read = ({ name, shape }: (typeof wanted)[number]) => readTensor(source, header, name, shape);
    return Promise.all(wanted.map(read));
  });
  const [W_enc, b_enc, W_dec, b_dec] = weights as [StateTensor, StateTensor, StateTensor, StateTensor];
  const sparsity = await withFile(folder, "sparsity.safetensors", (source, header) =>
    readTensor(source, header, "sparsity", [cfg.d_sae]),
  );
  return { cfg, tensors: { W_enc, b_enc, W_dec, b_dec }, sparsity: sparsity.data };
}

async function readCfg(folder: string): Promise<SaeCfg> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path.join(folder, "cfg.json"), "utf8"));
  } catch (error) {
    throw new SaeFolderError(`${folder} has no readable cfg.json.`, error);
  }
  const cfg = cfgSchema.safeParse(parsed);
  if (!cfg.success) {
    throw new SaeFolderError(
      `${folder}/cfg.json is not a TopK SAE's: ${z.prettifyError(cfg.error)}`,
      cfg.error,
    );
  }
  return cfg.data;
}

async function withFile<T>(
  folder: string,
  name: string,
  use: (source: ByteSource, header: SafetensorsHeader) => Promise<T>,
): Promise<T> {
  const source = await openFile(path.join(folder, name));
  try {
    return await use(source, await readSafetensorsHeader(source));
  } finally {
    await source.close();
  }
}

async function readTensor(source: ByteSource, header: SafetensorsHeader, name: string, shape: number[]) {
  const info = tensorInfo(header, name);
  if (info.dtype !== "F32" || info.shape.join() !== shape.join()) {
    throw new SaeFolderError(
      `${name} is ${info.dtype} [${info.shape.join(", ")}] instead of F32 [${shape.join(", ")}].`,
    );
  }
  return { shape, data: await readFloats(source, info) };
}
