import path from "node:path";
import { z } from "zod";
import type { SaeConfig, SaeMetadata } from "../../gpu/sae/sae.ts";
import { parseSettings, readJsonFileIfThere } from "./json-file.ts";
import { SaeFormatError } from "./sae-format-error.ts";
import {
  configOf,
  matrixShape,
  metadataOf,
  requireTensor,
  type SaeSource,
  saeSource,
  type TensorOrigins,
} from "./sae-source.ts";
import { readNumbers, type TensorFile } from "./tensor-file.ts";
import type { TorchFile } from "./torch-file.ts";

/*
 * dictionary_learning (saprmarks/dictionary_learning; SAEBench's baselines come so): `ae.pt`, the state_dict of one of
 * its classes, and `config.json`, which names the class. Matrices of nn.Linear are [out, in].
 *   AutoEncoder             f = relu(W (x − bias) + b)            x̂ = D f + bias
 *   AutoEncoderNew          f = relu(W x + b)                      x̂ = D f + decoder.bias
 *   AutoEncoderTopK         the k largest of relu(W (x − b_dec) + b)
 *   BatchTopKSAE, MatryoshkaBatchTopKSAE   f = relu(z) [relu(z) > threshold], one threshold for all features
 *   JumpReluAutoEncoder     f = relu(z [z > threshold]), z = x W_enc + b_enc
 *   GatedAutoEncoder        π = W (x − decoder_bias), f = [π + gate_bias > 0] relu(exp(r_mag) π + mag_bias)
 */

const classes = [
  "AutoEncoder",
  "AutoEncoderNew",
  "AutoEncoderTopK",
  "BatchTopKSAE",
  "MatryoshkaBatchTopKSAE",
  "JumpReluAutoEncoder",
  "GatedAutoEncoder",
] as const;
type DictClass = (typeof classes)[number];

/** Tensors by which each class is told where no configuration names it. */
export function isDictionaryLearning({ tensors }: TensorFile): boolean {
  return ["encoder.weight", "W_enc"].some((name) => tensors.has(name)) && !tensors.has("pre_bias");
}

const configSchema = z.looseObject({
  trainer: z.looseObject({
    dict_class: z.string().nullish(),
    trainer_class: z.string().nullish(),
    lm_name: z.string().nullish(),
    submodule_name: z.string().nullish(),
    k: z.number().nullish(),
  }),
  buffer: z.looseObject({ ctx_len: z.number().nullish() }).nullish(),
});

interface Description {
  dict_class: DictClass | null;
  metadata: SaeMetadata;
}

/** Describes an open state dictionary. Throws `SaeFormatError`; the file is the caller's to close then. */
export async function openDictionaryLearning(file: TorchFile): Promise<SaeSource> {
  const { dict_class, metadata } = await readConfig(path.join(path.dirname(file.file), "config.json"));
  const kind = dict_class ?? guessClass(file);
  const notes: string[] = [];
  if (dict_class === null) {
    notes.push(`There is no config.json that names its class; by its tensors it was taken for ${kind}.`);
  }
  const described = await describe(file, kind, metadata, notes);
  const config = { ...described.config, metadata: { ...metadata, ...described.metadata } };
  return saeSource(
    file,
    { format: "dictionary_learning", architecture: kind, config, notes },
    described.origins,
    { ignored: ["k", "threshold", "group_sizes"] },
  );
}

async function readConfig(file: string): Promise<Description> {
  const value = await readJsonFileIfThere(file);
  if (value === null) return { dict_class: null, metadata: metadataOf({}) };
  const { trainer, buffer } = parseSettings(file, configSchema, value);
  const dict_class = classes.find((one) => one === trainer.dict_class) ?? null;
  if (dict_class === null && trainer.dict_class) {
    throw new SaeFormatError(
      `${file} names the class ${JSON.stringify(trainer.dict_class.slice(0, 80))}; ${classes.join(", ")} can be read.`,
    );
  }
  const layer = /^resid_post_layer_(\d+)$/.exec(trainer.submodule_name ?? "")?.[1];
  const metadata = metadataOf({
    model_name: trainer.lm_name ?? null,
    hook_name: layer === undefined ? null : `blocks.${layer}.hook_resid_post`,
    context_size: Number.isSafeInteger(buffer?.ctx_len) ? (buffer?.ctx_len ?? null) : null,
    extra: { dictionary_learning: value },
  });
  return { dict_class, metadata };
}

function guessClass(file: TensorFile): DictClass {
  const has = (name: string) => file.tensors.has(name);
  if (has("group_sizes")) return "MatryoshkaBatchTopKSAE";
  if (has("gate_bias")) return "GatedAutoEncoder";
  if (has("W_enc")) return "JumpReluAutoEncoder";
  if (has("bias")) return "AutoEncoder";
  if (has("decoder.bias")) return "AutoEncoderNew";
  if (!has("threshold")) return "AutoEncoderTopK";
  throw new SaeFormatError(
    `${file.file} may be an AutoEncoderTopK or a BatchTopKSAE, whose tensors have the same names. Put the config.json that was saved with it beside it.`,
  );
}

interface Described {
  config: SaeConfig;
  metadata?: Partial<SaeMetadata>;
  origins: TensorOrigins;
}

async function describe(
  file: TensorFile,
  kind: DictClass,
  metadata: SaeMetadata,
  notes: string[],
): Promise<Described> {
  const linear = kind !== "MatryoshkaBatchTopKSAE" && kind !== "JumpReluAutoEncoder";
  const shape = matrixShape(file, linear ? "encoder.weight" : "W_enc");
  const [d_in, d_sae] = linear ? shape.toReversed() : shape;
  const common = { d_in: d_in!, d_sae: d_sae!, apply_b_dec_to_input: true, metadata };
  const matrices: TensorOrigins = linear
    ? {
        W_enc: { from: "encoder.weight", transposed: true },
        W_dec: { from: "decoder.weight", transposed: true },
      }
    : {
        W_enc: { from: "W_enc" },
        W_dec: { from: "W_dec" },
        b_enc: { from: "b_enc" },
        b_dec: { from: "b_dec" },
      };
  const b_enc = { from: "encoder.bias" };
  switch (kind) {
    case "AutoEncoder":
      return {
        config: configOf({ ...common, activation: "relu" }),
        metadata: { training_architecture: "standard" },
        origins: { ...matrices, b_enc, b_dec: { from: "bias" } },
      };
    case "AutoEncoderNew":
      return {
        config: configOf({ ...common, activation: "relu", apply_b_dec_to_input: false }),
        metadata: { training_architecture: "standard" },
        origins: { ...matrices, b_enc, b_dec: { from: "decoder.bias" } },
      };
    case "AutoEncoderTopK":
      return {
        config: configOf({ ...common, activation: "topk", k: await readK(file, metadata) }),
        metadata: { training_architecture: "topk" },
        origins: { ...matrices, b_enc, b_dec: { from: "b_dec" } },
      };
    case "BatchTopKSAE":
      return {
        ...(await thresholded(file, common, notes)),
        metadata: { training_architecture: "batchtopk" },
        origins: { ...matrices, b_enc, b_dec: { from: "b_dec" }, threshold: await readThreshold(file) },
      };
    case "MatryoshkaBatchTopKSAE": {
      const sizes = await readNumbers(file, requireTensor(file, "group_sizes"));
      let width = 0;
      const matryoshka_widths = sizes.map((size) => (width += size));
      return {
        ...(await thresholded(file, common, notes)),
        metadata: {
          training_architecture: "matryoshka_batchtopk",
          extra: { ...metadata.extra, training_architecture_details: { matryoshka_widths } },
        },
        origins: { ...matrices, threshold: await readThreshold(file) },
      };
    }
    case "JumpReluAutoEncoder":
      return {
        config: configOf({ ...common, activation: "jumprelu", apply_b_dec_to_input: false }),
        metadata: { training_architecture: "jumprelu" },
        origins: { ...matrices, threshold: { from: "threshold" } },
      };
    case "GatedAutoEncoder":
      return {
        config: configOf({ ...common, activation: "gated" }),
        metadata: { training_architecture: "gated" },
        origins: {
          ...matrices,
          b_dec: { from: "decoder_bias" },
          b_gate: { from: "gate_bias" },
          b_mag: { from: "mag_bias" },
          r_mag: { from: "r_mag" },
        },
      };
  }
}

/** BatchTopK at inference: a threshold above 0 cuts, any other leaves ReLU. */
async function thresholded(
  file: TensorFile,
  common: Pick<SaeConfig, "d_in" | "d_sae" | "apply_b_dec_to_input" | "metadata">,
  notes: string[],
): Promise<Pick<Described, "config">> {
  const threshold = await readThreshold(file);
  if (threshold > 0) return { config: configOf({ ...common, activation: "jumprelu" }) };
  notes.push(
    `Its threshold is ${threshold}, so it was never estimated; as in dictionary_learning every positive pre-activation fires, which is far more than its k.`,
  );
  return { config: configOf({ ...common, activation: "relu" }) };
}

async function readThreshold(file: TensorFile): Promise<number> {
  return readScalar(file, "threshold");
}

async function readK(file: TensorFile, { extra }: SaeMetadata): Promise<number> {
  if (file.tensors.has("k")) return readScalar(file, "k");
  const config = configSchema.safeParse(extra.dictionary_learning);
  const k = config.data?.trainer.k;
  if (typeof k === "number") return k;
  throw new SaeFormatError(
    `${file.file} does not hold k, and no config.json beside it does. Put that file there.`,
  );
}

async function readScalar(file: TensorFile, name: string): Promise<number> {
  const [value, ...others] = await readNumbers(file, requireTensor(file, name));
  if (value !== undefined && Number.isFinite(value) && others.length === 0) return value;
  throw new SaeFormatError(
    `${file.file}: ${name} is not one finite number. Export or download the SAE again.`,
  );
}
