import { type HookPoint, hookPoints } from "../../gpu/lm/hook-points.ts";
import { type ModelSpec, parameterCount } from "../../gpu/lm/model-spec.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, table } from "../cli/format.ts";
import { openModelFolder } from "../models/model-folder.ts";
import { exitCode } from "./exit-code.ts";

/** What a folder of a language model holds. */
interface ModelDescription {
  name: string;
  spec: ModelSpec;
  parameters: number;
  /** Of the parameters in float32, as they lie on the GPU. */
  bytes: number;
  hooks: readonly HookPoint[];
}

/** `facet model inspect`: a model by its configuration and its weights' headers; no weight is read. */
export async function inspectModel({ output, words, json }: LocalInvocation): Promise<number> {
  const folder = await openModelFolder(words[0]!);
  await folder.close();
  const { name, spec } = folder;
  const parameters = parameterCount(spec);
  const model = { name, spec, parameters, bytes: 4 * parameters, hooks: hookPoints(spec) };
  if (json) output.out(JSON.stringify(model));
  else for (const line of lines(model)) output.out(line);
  return exitCode.done;
}

function lines({ name, spec, parameters, bytes: size, hooks }: ModelDescription): string[] {
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
