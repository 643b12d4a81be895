import path from "node:path";
import { z } from "zod";
import { safetensorsPieces } from "../../gpu/data/safetensors.ts";
import type { Sae, SaeConfig } from "../../gpu/sae/sae.ts";
import { saeTensor } from "../../gpu/sae/sae-shapes.ts";
import { type WrittenFolder, writeFolder } from "../artifacts/atomic-folder.ts";
import { parseSettings, readJsonFile } from "./json-file.ts";
import { checkWritable, writeJson } from "./sae-folder.ts";
import { SaeExportError, SaeFormatError } from "./sae-format-error.ts";
import { configOf, matrixShape, metadataOf, type SaeSource, saeSource } from "./sae-source.ts";
import { openSafetensorsFile } from "./safetensors-file.ts";
import { transposed } from "./tensor-file.ts";

/*
 * sparsify (EleutherAI): a folder per hook point, named after the module, with `cfg.json` and `sae.safetensors`:
 * encoder.weight [n, d], encoder.bias [n], W_dec [n, d], b_dec [d], and W_skip [d, d] with a skip connection.
 *   f = the k largest of relu(W (x − b_dec) + b), of relu(W x + b) for a transcoder     x̂ = f W_dec + b_dec + W_skip x
 */

const cfgSchema = z.looseObject({
  d_in: z.number().int().min(1),
  k: z.number().int().min(1),
  activation: z.string().default("topk"),
  num_latents: z.number().int().min(0).default(0),
  expansion_factor: z.number().int().min(0).default(0),
  skip_connection: z.boolean().default(false),
  transcode: z.boolean().default(false),
  signed: z.boolean().default(false),
});

export const sparsifyWeights = "sae.safetensors";

/** Opens a hook point's folder. Throws `SaeFormatError`. */
export async function openSparsify(folder: string): Promise<SaeSource> {
  const file = path.join(folder, "cfg.json");
  const value = await readJsonFile(file);
  const cfg = parseSettings(file, cfgSchema, value);
  if (cfg.activation !== "topk" || cfg.signed) {
    const what = cfg.signed
      ? "signed latents"
      : `the activation ${JSON.stringify(cfg.activation.slice(0, 60))}`;
    throw new SaeFormatError(`${file} has ${what}; of sparsify's SAEs those with plain topk can be read.`);
  }
  const weights = await openSafetensorsFile(path.join(folder, sparsifyWeights));
  try {
    const [d_sae, d_in] = matrixShape(weights, "encoder.weight");
    if (d_in !== cfg.d_in || (cfg.num_latents > 0 && cfg.num_latents !== d_sae)) {
      throw new SaeFormatError(
        `${file} says ${cfg.d_in} inputs and ${cfg.num_latents || "any"} latents, but encoder.weight is [${d_sae}, ${d_in}]. One of the two files belongs to another SAE.`,
      );
    }
    const config = configOf({
      activation: "topk",
      d_in,
      d_sae,
      k: cfg.k,
      apply_b_dec_to_input: !cfg.transcode,
      transcoder: cfg.transcode,
      skip: cfg.skip_connection,
      metadata: metadataOf({
        ...hookNames(path.basename(folder), cfg.transcode),
        training_architecture: "topk",
        extra: { hookpoint: path.basename(folder), sparsify: value },
      }),
    });
    return saeSource(
      weights,
      { format: "sparsify", architecture: cfg.transcode ? "transcoder" : "topk", config, notes: [] },
      {
        W_enc: { from: "encoder.weight", transposed: true },
        b_enc: { from: "encoder.bias" },
        W_dec: { from: "W_dec" },
        b_dec: { from: "b_dec" },
        W_skip: { from: "W_skip" },
      },
    );
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** TransformerLens' names for the module paths that have one. */
function hookNames(
  hookpoint: string,
  transcode: boolean,
): { hook_name: string | null; hook_name_out: string | null } {
  const [, layer, mlp] = /(?:^|\.)(?:layers|h)\.(\d+)(\.mlp)?$/.exec(hookpoint) ?? [];
  if (layer === undefined) return { hook_name: null, hook_name_out: null };
  const output = `blocks.${layer}.${mlp ? "hook_mlp_out" : "hook_resid_post"}`;
  if (!transcode) return { hook_name: output, hook_name_out: null };
  return { hook_name: mlp ? `blocks.${layer}.hook_mlp_in` : null, hook_name_out: output };
}

/** Why sparsify cannot express an SAE, in a full sentence; null if it can. */
export function sparsifyRefusal(config: SaeConfig): string | null {
  const { activation, transcoder, d_in, d_out, n_hook_points } = config;
  if (activation !== "topk") return "sparsify has TopK SAEs only.";
  if (n_hook_points > 1) return "sparsify has no crosscoders.";
  if (config.rescale_acts_by_decoder_norm)
    return "sparsify selects features without regard to the decoder's norms.";
  if (config.normalize_activations !== "none") return "sparsify does not normalise activations per token.";
  if (d_in !== d_out) return "sparsify's transcoders have equal widths on both sides.";
  if (config.apply_b_dec_to_input === transcoder) {
    return transcoder
      ? "sparsify's transcoders do not subtract b_dec from the input."
      : "sparsify's SAEs subtract b_dec from the input.";
  }
  return null;
}

/** Writes a hook point's folder, whole or not at all. Throws `SaeExportError`, `StorageError`. */
export async function writeSparsify(folder: string, sae: Sae): Promise<WrittenFolder> {
  checkWritable(folder, sae);
  const { config } = sae;
  const refusal = sparsifyRefusal(config);
  if (refusal !== null) {
    throw new SaeExportError(
      `This SAE cannot be written for sparsify. ${refusal} Export it for SAELens instead.`,
    );
  }
  const { d_in, d_sae } = config;
  const encoder = transposed(saeTensor(sae, "W_enc"), d_in, d_sae);
  const weights = safetensorsPieces([
    { name: "W_dec", shape: [d_sae, d_in], data: saeTensor(sae, "W_dec") },
    ...(config.skip ? [{ name: "W_skip", shape: [d_in, d_in], data: saeTensor(sae, "W_skip") }] : []),
    { name: "b_dec", shape: [d_in], data: saeTensor(sae, "b_dec") },
    { name: "encoder.bias", shape: [d_sae], data: saeTensor(sae, "b_enc") },
    { name: "encoder.weight", shape: [d_sae, d_in], data: encoder },
  ]);
  return writeFolder(
    folder,
    async (writer) => {
      await writeJson(writer, "cfg.json", {
        activation: "topk",
        expansion_factor: Math.max(1, Math.round(d_sae / d_in)),
        normalize_decoder: false,
        num_latents: d_sae,
        k: config.k,
        multi_topk: false,
        skip_connection: config.skip,
        transcode: config.transcoder,
        d_in,
      });
      await writer.file(sparsifyWeights, weights);
    },
    weights.reduce((bytes, piece) => bytes + piece.byteLength, 0),
  );
}
