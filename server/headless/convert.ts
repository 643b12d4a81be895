import type { LocalInvocation } from "../cli/commands.ts";
import { UsageError } from "../cli/usage.ts";
import { type Conversion, exportSae, importSae } from "../formats/convert.ts";
import { writableFormats } from "../formats/formats.ts";
import { exitCode } from "./exit-code.ts";
import { nearest } from "./nearest.ts";
import { saeIn } from "./run-folder.ts";

/** `facet export`: writes an SAE of any layout in another one. */
export async function exportTo({ output, options, json }: LocalInvocation): Promise<number> {
  const last = (name: string) => options.get(name)?.at(-1);
  const [sae, format, target] = [last("sae"), last("format"), last("out")];
  if (sae === undefined || format === undefined || target === undefined) {
    throw new UsageError("export needs --sae, --format and --out.");
  }
  const known = writableFormats.find((one) => one === format);
  if (known === undefined) {
    const near = nearest(format, writableFormats);
    throw new UsageError(
      `SAEs are written as ${writableFormats.join(", ")}, not as ${format}${near === null ? "." : `; did you mean ${near}?`}`,
    );
  }
  report(await exportSae(saeIn(sae), target, known), output, json);
  return exitCode.done;
}

/** `facet import`: makes a folder in SAELens' layout, or Facet's own, of an SAE in any layout. */
export async function importFrom({ output, options, json, words }: LocalInvocation): Promise<number> {
  const target = options.get("out")?.at(-1);
  if (target === undefined) throw new UsageError("import needs --out, the folder to make.");
  report(await importSae(words[0]!, target), output, json);
  return exitCode.done;
}

function report(
  { from, to, config, notes, written }: Conversion,
  output: LocalInvocation["output"],
  json: boolean,
): void {
  const { path, bytes, sha256 } = written;
  if (json) output.out(JSON.stringify({ from, to, path, bytes, sha256, notes, config }));
  else {
    for (const note of notes) output.err(`Note: ${note}`);
    output.out(
      `Wrote ${path}: ${config.activation}, d_in ${config.d_in}, d_sae ${config.d_sae}, from ${from} to ${to}.`,
    );
  }
}
