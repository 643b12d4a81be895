import path from "node:path";
import { z } from "zod";
import { parseSettings, readJsonFileIfThere } from "./json-file.ts";
import { openNpz } from "./npz.ts";
import { SaeFormatError } from "./sae-format-error.ts";
import { configOf, matrixShape, metadataOf, type SaeSource, saeSource } from "./sae-source.ts";
import { openSafetensorsFile } from "./safetensors-file.ts";

/*
 * Gemma Scope (Google DeepMind): JumpReLU, z = x W_enc + b_enc, f = relu(z) [z > threshold], nothing subtracted from x.
 *   Gemma Scope 1   `params.npz`: W_enc [d, n], W_dec [n, d], b_enc, b_dec, threshold
 *   Gemma Scope 2   `params.safetensors`: the same in lower case, and for a transcoder `affine_skip_connection`
 *                   [d_in, d_out], which is multiplied from the right (x A), so W_skip is its transpose; `config.json`
 * Neither says in its file whether it reconstructs its input or another hook point, except by the skip connection and by
 * Gemma Scope 2's config.json.
 */

export const gemmaScopeFile = "params.npz";
export const gemmaScope2File = "params.safetensors";

/** Throws `SaeFormatError`. */
export async function openGemmaScope(file: string): Promise<SaeSource> {
  const params = await openNpz(file);
  try {
    const [d_in, d_sae] = matrixShape(params, "W_enc");
    const config = configOf({
      activation: "jumprelu",
      d_in,
      d_sae,
      apply_b_dec_to_input: false,
      metadata: metadataOf({ training_architecture: "jumprelu", extra: { gemma_scope: placeOf(file) } }),
    });
    const names = ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"];
    return saeSource(
      params,
      {
        format: "gemma_scope",
        architecture: "jumprelu",
        config,
        notes: [
          "The file does not name its model and hook point; they are told by the folder it was published in.",
        ],
      },
      Object.fromEntries(names.map((name) => [name, { from: name }])),
    );
  } catch (error) {
    await params.close();
    throw error;
  }
}

/** "layer_20/width_16k/average_l0_71", as far as the path has it. */
function placeOf(file: string): string {
  return path.dirname(path.resolve(file)).split(path.sep).slice(-3).join("/");
}

const configSchema = z.looseObject({
  architecture: z.string().nullish(),
  type: z.string().nullish(),
  model_name: z.string().nullish(),
  hf_hook_point_in: z.string().nullish(),
  hf_hook_point_out: z.string().nullish(),
});

/** Throws `SaeFormatError`. */
export async function openGemmaScope2(file: string): Promise<SaeSource> {
  const params = await openSafetensorsFile(file);
  try {
    const published = await readPublished(path.join(path.dirname(file), "config.json"));
    const { architecture } = published ?? {};
    if (architecture && architecture !== "jump_relu") {
      throw new SaeFormatError(
        `${file} is of the architecture ${JSON.stringify(architecture.slice(0, 60))}; of Gemma Scope 2, jump_relu can be read.`,
      );
    }
    if (params.tensors.get("w_dec")?.shape.length === 3) {
      throw new SaeFormatError(
        `${file} is one layer of a crosscoder or cross-layer transcoder, which cannot be read. Take one of Gemma Scope 2's SAEs or transcoders.`,
      );
    }
    const [d_in, d_sae] = matrixShape(params, "w_enc");
    const skip = params.tensors.has("affine_skip_connection");
    const hookIn = published?.hf_hook_point_in ?? null;
    const hookOut = published?.hf_hook_point_out ?? null;
    const transcoder =
      skip || /transcoder/.test(published?.type ?? "") || (hookOut !== null && hookOut !== hookIn);
    const config = configOf({
      activation: "jumprelu",
      d_in,
      d_sae,
      d_out: matrixShape(params, "w_dec")[1],
      apply_b_dec_to_input: false,
      transcoder,
      skip,
      metadata: metadataOf({
        model_name: published?.model_name ?? null,
        hook_name: hookName(hookIn),
        hook_name_out: transcoder ? hookName(hookOut) : null,
        training_architecture: "jumprelu",
        extra: published === null ? {} : { gemma_scope_2: published },
      }),
    });
    return saeSource(
      params,
      { format: "gemma_scope_2", architecture: skip ? "skip_transcoder" : "jump_relu", config, notes: [] },
      {
        W_enc: { from: "w_enc" },
        b_enc: { from: "b_enc" },
        W_dec: { from: "w_dec" },
        b_dec: { from: "b_dec" },
        threshold: { from: "threshold" },
        W_skip: { from: "affine_skip_connection", transposed: true },
      },
    );
  } catch (error) {
    await params.close();
    throw error;
  }
}

async function readPublished(file: string): Promise<z.output<typeof configSchema> | null> {
  const value = await readJsonFileIfThere(file);
  return value === null ? null : parseSettings(file, configSchema, value);
}

/** TransformerLens' name where Hugging Face's is a layer's output; the others keep theirs. */
function hookName(hook: string | null): string | null {
  const layer = /^model\.layers\.(\d+)\.output$/.exec(hook ?? "")?.[1];
  return layer === undefined ? hook : `blocks.${layer}.hook_resid_post`;
}
