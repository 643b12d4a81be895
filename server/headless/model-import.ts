import type { LocalInvocation } from "../cli/commands.ts";
import { bytes } from "../cli/format.ts";
import { UsageError } from "../cli/usage.ts";
import { environment } from "../environment.ts";
import { hubOptions } from "../hub/hub-options.ts";
import { importModel, type ModelImportProgress } from "../models/import.ts";
import type { ModelManifest } from "../models/manifest.ts";
import { exitCode, InterruptedError } from "./exit-code.ts";
import { Interruption } from "./interruption.ts";
import { modelSource } from "./model-import-source.ts";
import { Progress } from "./progress.ts";

export const modelImportOptions = ["revision", "out"] as const;

/** `facet model import`: makes a model's folder from another one, or from the hub. */
export async function importModelTo({ output, words, options, json }: LocalInvocation): Promise<number> {
  const folder = options.get("out")?.at(-1) ?? "";
  if (folder === "") throw new UsageError("model import needs --out, the folder to make.");
  const source = modelSource(words[0]!, options.get("revision")?.at(-1));
  const hub = hubOptions(environment());
  const interruption = new Interruption();
  const shown = new ShownProgress(output, json);
  try {
    const manifest = await importModel({
      source,
      folder,
      hub,
      signal: interruption.signal,
      onProgress: (progress) => shown.update(progress),
    });
    shown.end();
    output.out(json ? JSON.stringify(manifest) : summary(manifest, folder));
    return exitCode.done;
  } catch (error) {
    shown.end();
    if (!(error instanceof InterruptedError) || source.kind === "folder") throw error;
    throw new InterruptedError(error.signal, `${error.message} The same command goes on from there.`);
  } finally {
    interruption.dispose();
  }
}

function summary({ source, model_type, parameters, bytes: size }: ModelManifest, folder: string): string {
  const from = source.kind === "hub" ? `${source.repo} (commit ${source.commit})` : source.name;
  return `Imported ${from}: ${model_type}, ${parameters.toLocaleString("en")} parameters, ${bytes(size)}, in ${folder}`;
}

/** Progress of an import on the terminal. Each file begins where an earlier import left it, so that the rate is true. */
class ShownProgress {
  readonly #output: LocalInvocation["output"];
  readonly #json: boolean;
  #progress: Progress | null = null;
  #file = "";

  constructor(output: LocalInvocation["output"], json: boolean) {
    this.#output = output;
    this.#json = json;
  }

  update({ phase, file, bytes: done, total_bytes, note }: ModelImportProgress): void {
    if (note !== null) {
      this.#progress?.interrupt();
      this.#output.err(note);
      return;
    }
    if (phase !== "copying") return;
    if (this.#file !== file) this.end();
    this.#file = file;
    this.#progress ??= new Progress({
      unit: "byte",
      total: total_bytes,
      done,
      line: this.#json ? this.#output.err : this.#output.out,
      rewrite: this.#output.rewrite,
    });
    this.#progress.update(done, file);
  }

  end(): void {
    this.#progress?.end();
    this.#progress = null;
  }
}
