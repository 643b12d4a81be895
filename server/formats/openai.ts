import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { type PickleValue, pickleKind } from "./pickle.ts";
import { SaeFormatError } from "./sae-format-error.ts";
import { configOf, matrixShape, metadataOf, type SaeSource, saeSource } from "./sae-source.ts";
import type { TensorFile } from "./tensor-file.ts";
import type { TorchFile } from "./torch-file.ts";

/*
 * OpenAI's SAEs (openai/sparse_autoencoder): the state_dict of their Autoencoder with two keys of its own, `activation`
 * (a class name) and `activation_state_dict`.
 *   z = W (x̃ − pre_bias) + latent_bias     x̂ = D f + pre_bias
 *   ReLU   f = relu(z), x̃ = x                                                            (v1, v4)
 *   TopK   f = the k largest of z, through postact_fn, x̃ = the layer norm of x, undone on x̂     (v5)
 * Their code normalises exactly when the activation is TopK. Its layer norm is sae.ts' layer_norm to the letter.
 */

export function isOpenAi({ tensors }: TensorFile): boolean {
  return tensors.has("pre_bias");
}

/** Describes an open state dictionary. Throws `SaeFormatError`; the file is the caller's to close then. */
export function openOpenAi(file: TorchFile): SaeSource {
  const [d_sae, d_in] = matrixShape(file, "encoder.weight");
  const architecture = file.values.get("activation") ?? "ReLU";
  const config = configOf({
    ...activationOf(file, architecture),
    d_in,
    d_sae,
    apply_b_dec_to_input: true,
    metadata: metadataOf({ training_architecture: architecture === "TopK" ? "topk" : "standard" }),
  });
  return saeSource(
    file,
    {
      format: "openai",
      architecture: String(architecture),
      config,
      notes: ["The file does not name its model and hook point; they are told by where it was published."],
    },
    {
      W_enc: { from: "encoder.weight", transposed: true },
      b_enc: { from: "latent_bias" },
      W_dec: { from: "decoder.weight", transposed: true },
      b_dec: { from: "pre_bias" },
    },
    { ignored: ["stats_last_nonzero", "latents_activation_frequency", "latents_mean_square"] },
  );
}

function activationOf(
  { file, values }: TorchFile,
  activation: PickleValue,
): Pick<SaeConfig, "activation" | "k" | "normalize_activations"> {
  if (activation === "ReLU") return { activation: "relu", k: null, normalize_activations: "none" };
  if (activation !== "TopK") {
    throw new SaeFormatError(
      `${file} has the activation ${pickleKind(activation)}; ReLU and TopK can be read.`,
    );
  }
  const state = values.get("activation_state_dict");
  const k = state instanceof Map ? state.get("k") : undefined;
  const after = state instanceof Map ? (state.get("postact_fn") ?? "ReLU") : undefined;
  if (typeof k !== "number" || after !== "ReLU") {
    throw new SaeFormatError(
      `${file} is a TopK SAE, but its activation_state_dict does not say a k followed by ReLU. Save it again with OpenAI's code.`,
    );
  }
  return { activation: "topk", k, normalize_activations: "layer_norm" };
}
