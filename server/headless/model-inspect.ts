import { type HookPoint, hookPoints } from "../../gpu/lm/hook-points.ts";
import { type ModelSpec, parameterCount } from "../../gpu/lm/model-spec.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, table } from "../cli/format.ts";
import { openModelFolder } from "../models/model-folder.ts";
import { exitCode } from "./exit-code.ts";

/** What a folder of a language model holds. */
export interface ModelDescription {
  name: string;
  spec: ModelSpec;
  parameters: number;
  /** Of the parameters in float32, as they lie on the GPU. */
  bytes: number;
  hooks: readonly HookPoint[];
}

/**
 * A model by its configuration and its weights' headers; no weight is read.
 * @throws ModelFolderError
 */
export async function describeModelFolder(location: string): Promise<ModelDescription> {
  const folder = await openModelFolder(location);
  await folder.close();
  const { name, spec } = folder;
  const parameters = parameterCount(spec);
  return { name, spec, parameters, bytes: 4 * parameters, hooks: hookPoints(spec) };
}

/** `facet model inspect`: what a model is, and its hook points. */
export async function inspectModel({ output, words, json }: LocalInvocation): Promise<number> {
  const model = await describeModelFolder(words[0]!);
  if (json) output.out(JSON.stringify(model));
  else for (const line of modelLines(model)) output.out(line);
  return exitCode.done;
}

/** The description for a person. */
export function modelLines({ name, spec, parameters, bytes: size, hooks }: ModelDescription): string[] {
  const facts: [string, string][] = [
    ["model_type", spec.model_type],
    ["parameters", `${parameters.toLocaleString("en")}, ${bytes(size)} in float32`],
    ["layers", String(spec.n_layers)],
    ["width", String(spec.d_model)],
    ["heads", `${spec.n_heads} of ${spec.d_head}, ${spec.n_kv_heads} of keys`],
    ["MLP", String(spec.d_mlp)],
    ["vocabulary", String(spec.d_vocab)],
    ["longest sequence", String(spec.n_ctx)],
  ];
  return [
    `Model ${name}`,
    ...facts.map(([fact, value]) => `  ${fact.padEnd(16)}  ${value}`),
    "",
    ...table(
      ["hook point", "width"],
      hooks.map((hook) => [hook.name, String(hook.width)]),
    ),
  ];
}
