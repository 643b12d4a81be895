import { readdir } from "node:fs/promises";
import path from "node:path";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import type { WrittenFolder } from "../artifacts/atomic-folder.ts";
import { readSae, type WritableFormat, writeSae } from "./formats.ts";
import { writeSaeFolder } from "./sae-folder.ts";
import { SaeExportError } from "./sae-format-error.ts";
import type { SaeFormat } from "./sae-source.ts";

export interface Conversion {
  from: SaeFormat;
  to: WritableFormat;
  config: SaeConfig;
  /** What a user should know of how it was taken, in full sentences. */
  notes: readonly string[];
  written: WrittenFolder;
}

/**
 * Makes a folder of ours (SAELens' layout, or where that has no words for it Facet's own) of an SAE in any layout. The
 * folder appears whole or not at all. Throws `SaeFormatError` for a source that cannot be read, `SaeExportError` where
 * the folder would take the place of something, `StorageError` from the disk.
 */
export async function importSae(source: string, folder: string): Promise<Conversion> {
  await checkFree(folder);
  const { format, architecture, sae, sparsity, notes, runner_cfg } = await readSae(source);
  const provenance = { imported_by: "facet", format, architecture, source: path.basename(source), notes };
  const { format: to, ...written } = await writeSaeFolder(folder, sae, {
    sparsity,
    runner_cfg: runner_cfg ?? provenance,
  });
  return { from: format, to, config: sae.config, notes, written };
}

/**
 * Writes the SAE in a folder, of any layout, in another. Throws as `importSae`, and `SaeExportError` for an SAE that the
 * layout cannot express.
 */
export async function exportSae(folder: string, target: string, format: WritableFormat): Promise<Conversion> {
  await checkFree(target);
  const { format: from, sae, sparsity, notes, runner_cfg } = await readSae(folder);
  const written = await writeSae(target, sae, format, { sparsity, runner_cfg });
  return { from, to: format, config: sae.config, notes, written };
}

/** A folder is replaced as a whole, which nobody wants of one that holds something else. */
async function checkFree(folder: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return;
    if (code !== "ENOTDIR") throw error;
    names = [path.basename(folder)];
  }
  if (names.length === 0) return;
  throw new SaeExportError(
    `${folder} is there already, and would be replaced. Choose a name that is not taken.`,
  );
}
