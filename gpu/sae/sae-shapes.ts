import type { Sae, SaeConfig } from "./sae.ts";

/** Names and shapes of the tensors of an SAE of this configuration, in the order they are written in. */
export function saeShapes(
  config: Pick<SaeConfig, "activation" | "d_in" | "d_out" | "d_sae" | "skip">,
): Map<string, number[]> {
  const { activation, d_in, d_out, d_sae, skip } = config;
  const encoder = activation === "gated" ? ["b_gate", "b_mag", "r_mag"] : ["b_enc"];
  return new Map([
    ["W_enc", [d_in, d_sae]],
    ...encoder.map((name): [string, number[]] => [name, [d_sae]]),
    ["W_dec", [d_sae, d_out]],
    ["b_dec", [d_out]],
    ...(activation === "jumprelu" ? [["threshold", [d_sae]] as [string, number[]]] : []),
    ...(skip ? [["W_skip", [d_out, d_in]] as [string, number[]]] : []),
  ]);
}

/** The numbers of one of an SAE's tensors. Throws `RangeError` where the SAE is not what its configuration says. */
export function saeTensor(sae: Sae, name: string): Float32Array {
  const shape = saeShapes(sae.config).get(name);
  const tensor = sae.tensors[name];
  const elements = shape?.reduce((product, extent) => product * extent, 1);
  if (!(tensor?.data instanceof Float32Array) || tensor.data.length !== elements) {
    const found = tensor === undefined ? "missing" : `${tensor.data.length} elements`;
    throw new RangeError(`The SAE's ${name} should be float32 [${shape?.join(", ")}], but is ${found}.`);
  }
  return tensor.data;
}

/**
 * What is wrong with an SAE, in full sentences: contradictions in its configuration, tensors that are missing, too many,
 * of another shape, or not finite. Empty for an SAE that can be used.
 */
export function saeFaults(sae: Sae): string[] {
  return [...configFaults(sae.config), ...tensorFaults(sae)];
}

function configFaults(config: SaeConfig): string[] {
  const { activation, d_in, d_out, d_sae, k, n_hook_points } = config;
  const faults: string[] = [];
  for (const name of ["d_in", "d_out", "d_sae", "n_hook_points"] as const) {
    if (!(Number.isSafeInteger(config[name]) && config[name] > 0)) {
      faults.push(`${name} is ${config[name]}; it must be a whole number above 0.`);
    }
  }
  if (activation === "topk" && !(k !== null && Number.isSafeInteger(k) && k > 0 && k <= d_sae)) {
    faults.push(`k is ${k}; it must be a whole number from 1 to d_sae (${d_sae}).`);
  }
  if (activation !== "topk" && k !== null) faults.push(`k is ${k}, but only TopK has one.`);
  if (activation !== "topk" && config.rescale_acts_by_decoder_norm) {
    faults.push("rescale_acts_by_decoder_norm is set, but only TopK selects by it.");
  }
  if (config.apply_b_dec_to_input && (config.transcoder || d_in !== d_out)) {
    faults.push("b_dec belongs to a transcoder's target and cannot be subtracted from its input.");
  }
  if (!config.transcoder && d_in !== d_out) {
    faults.push(`d_out is ${d_out} and d_in ${d_in}, but only a transcoder's may differ.`);
  }
  if (n_hook_points > 1 && (config.transcoder || d_in % n_hook_points !== 0)) {
    faults.push(`${n_hook_points} hook points of one width do not make up d_in = d_out = ${d_in}.`);
  }
  if (config.normalize_activations === "layer_norm" && d_in / n_hook_points < 2) {
    faults.push("layer_norm needs activations of at least two numbers.");
  }
  return faults;
}

function tensorFaults({ config, tensors }: Sae): string[] {
  const shapes = saeShapes(config);
  const faults = Object.keys(tensors)
    .filter((name) => !shapes.has(name))
    .map((name) => `There is a tensor ${name} that a ${config.activation} SAE does not have.`);
  for (const [name, shape] of shapes) {
    const tensor = tensors[name];
    if (tensor === undefined) faults.push(`There is no ${name}.`);
    else if (!(tensor.data instanceof Float32Array) || tensor.shape.join() !== shape.join()) {
      faults.push(`${name} is [${tensor.shape.join(", ")}] instead of float32 [${shape.join(", ")}].`);
    } else if (tensor.data.length !== shape.reduce((product, extent) => product * extent, 1)) {
      faults.push(`${name} of shape [${shape.join(", ")}] has ${tensor.data.length} elements.`);
    } else {
      const at = tensor.data.findIndex((value) => !Number.isFinite(value));
      if (at >= 0) faults.push(`${name} is not finite: it holds ${tensor.data[at]} at element ${at}.`);
    }
  }
  return faults;
}
