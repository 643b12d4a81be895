import type { LocalInvocation } from "../cli/commands.ts";
import { bytes } from "../cli/format.ts";
import { environment } from "../environment.ts";
import { hubOptions } from "../hub/hub-options.ts";
import { type ModelPreview, previewModel } from "../models/preview.ts";
import { exitCode } from "./exit-code.ts";
import { Interruption } from "./interruption.ts";
import { modelSource } from "./model-import-source.ts";

export const modelPreviewOptions = ["revision"] as const;

/** `facet model preview`: what a model is and takes, before any of its weights is copied or downloaded. */
export async function previewModelOf({ output, words, options, json }: LocalInvocation): Promise<number> {
  const source = modelSource(words[0]!, options.get("revision")?.at(-1));
  const hub = hubOptions(environment());
  const interruption = new Interruption();
  try {
    const preview = await previewModel(source, hub, interruption.signal, output.err);
    if (json) output.out(JSON.stringify(preview));
    else for (const line of lines(preview)) output.out(line);
    return preview.supported ? exitCode.done : exitCode.wrong;
  } finally {
    interruption.dispose();
  }
}

function lines(preview: ModelPreview): string[] {
  const { name, source, model_type, sizes, stored, tokenizer, gated, files, download_bytes, reason } =
    preview;
  const dtypes = Object.entries(stored).map(([dtype, count]) => `${count.toLocaleString("en")} ${dtype}`);
  const facts: [string, string | null][] = [
    ["commit", source.kind === "hub" ? source.commit : null],
    ["model_type", model_type],
    ["parameters", sizes?.parameters.toLocaleString("en") ?? null],
    ["layers", sizes === null ? null : String(sizes.layers)],
    ["width", sizes === null ? null : String(sizes.d_model)],
    ["vocabulary", sizes === null ? null : String(sizes.vocabulary)],
    ["longest sequence", sizes === null ? null : String(sizes.context)],
    ["in memory", sizes === null ? null : memory(sizes.memory)],
    ["stored", dtypes.length === 0 ? null : dtypes.join(", ")],
    ["tokenizer", tokenizer ? "tokenizer.json" : "none"],
    ["gated", gated ? "yes" : null],
    [source.kind === "hub" ? "to download" : "to copy", `${bytes(download_bytes)} in ${files.length} files`],
    ["can be imported", reason === null ? "yes" : `no. ${reason}`],
  ];
  return [
    `Model ${name}`,
    ...facts.flatMap(([fact, value]) => (value === null ? [] : [`  ${fact.padEnd(16)}  ${value}`])),
  ];
}

function memory({ f32, f16, int8 }: { f32: number; f16: number; int8: number }): string {
  return `${bytes(f32)} in float32, ${bytes(f16)} in float16, ${bytes(int8)} in int8`;
}
