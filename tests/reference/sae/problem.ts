import { baseOf, isTranscoder, widthsOf } from "../../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../../gpu/sae/config.ts";
import type { Context, Parameters, Problem } from "./types.ts";

/** Names and shapes of what is trained, as on the GPU. */
export function parameterShapes(config: TrainingConfig): Record<string, number[]> {
  const { input, output } = widthsOf(config);
  const { d_sae } = config;
  const base = baseOf(config);
  const biases = base === "gated" ? ["b_gate", "b_mag", "r_mag"] : ["b_enc"];
  return {
    W_enc: [d_sae, input],
    W_dec: [d_sae, output],
    ...Object.fromEntries(biases.map((name) => [name, [d_sae]])),
    b_dec: [output],
    ...(base === "jumprelu" && { threshold: [d_sae] }),
    ...(config.architecture === "skip_transcoder" && { W_skip: [output, input] }),
  };
}

export function zeros(config: TrainingConfig): Parameters {
  return Object.fromEntries(
    Object.entries(parameterShapes(config)).map(([name, shape]) => [
      name,
      new Float64Array(shape.reduce((product, length) => product * length, 1)),
    ]),
  );
}

/** A tensor that must be there. */
export function tensor(parameters: Parameters, name: string): Float64Array {
  const found = parameters[name];
  if (found === undefined) throw new Error(`The reference has no parameter ${name}.`);
  return found;
}

/** Throws unless names and lengths are those of the configuration. */
export function checkParameters(parameters: Parameters, config: TrainingConfig): void {
  const lengths = (of: Parameters) =>
    JSON.stringify(
      Object.keys(of)
        .sort()
        .map((name) => [name, tensor(of, name).length]),
    );
  const wanted = lengths(zeros(config));
  const given = lengths(parameters);
  if (given !== wanted) throw new Error(`Parameters ${given} do not fit the configuration: ${wanted}.`);
}

/** @param x [B, input]. @param y [B, output]; both normalised. */
export function pose(
  parameters: Parameters,
  x: Float64Array,
  y: Float64Array,
  config: TrainingConfig,
  context: Context,
): Problem {
  checkParameters(parameters, config);
  const { input, output } = widthsOf(config);
  const B = x.length / input;
  if (!Number.isInteger(B) || y.length !== B * output) {
    throw new Error(
      `x [${x.length / input}, ${input}] and y [${y.length / output}, ${output}] are not a batch.`,
    );
  }
  const subtract = config.apply_b_dec_to_input;
  if (subtract && isTranscoder(config.architecture)) throw new Error("A transcoder cannot subtract b_dec.");
  const b_dec = tensor(parameters, "b_dec");
  const encoded = x.map((value, at) => value - (subtract ? b_dec[at % input]! : 0));
  const gradients = zeros(config);
  return { config, context, parameters, gradients, B, d_sae: config.d_sae, input, output, x, encoded, y };
}
