import { mkdir, mkdtemp, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { exportSae } from "../formats/convert.ts";
import { type WritableFormat, writableFormats } from "../formats/formats.ts";
import { saelensRefusal } from "../formats/saelens.ts";
import { sparsifyRefusal } from "../formats/sparsify.ts";
import { readySae } from "./get.ts";

export const exportSaeInput = z.object({ id: z.uuid(), format: z.enum(writableFormats) });
type ExportInput = z.output<typeof exportSaeInput>;

/** Why a layout cannot express an SAE, in a full sentence; null if it can. */
export function exportRefusal(format: WritableFormat, config: SaeConfig): string | null {
  if (format === "saelens") return saelensRefusal(config);
  return format === "sparsify" ? sparsifyRefusal(config) : null;
}

export interface ExportedSae {
  /** Absolute path of the folder on the server. */
  path: string;
  bytes: number;
  sha256: string;
}

/**
 * Writes an SAE into FACET_HOME/exports, in the place of an export of the same SAE in the same layout. Throws
 * `SaeExportError` for what the layout cannot express.
 */
export async function exportSaeTo(
  db: Executor,
  home: string,
  { id, format }: ExportInput,
): Promise<ExportedSae> {
  const sae = await readySae(db, id);
  const target = path.join(home, "exports", exportName(sae, format));
  await rm(target, { recursive: true, force: true });
  const { written } = await exportSae(path.join(home, sae.path), target, format);
  return { path: target, bytes: written.bytes, sha256: written.sha256 };
}

/** Under FACET_HOME; what is in it at the start was left by a process that died. */
export const downloadsFolder = "downloads";

/** A folder made for one download: what to call it, and how to be rid of it. */
export interface DownloadFolder {
  name: string;
  folder: string;
  remove(): Promise<void>;
}

/** Writes an SAE in a layout into a folder of its own. Throws `SaeExportError`. */
export async function downloadFolder(
  db: Executor,
  home: string,
  { id, format }: ExportInput,
): Promise<DownloadFolder> {
  const sae = await readySae(db, id);
  const name = exportName(sae, format);
  const downloads = path.join(home, downloadsFolder);
  await mkdir(downloads, { recursive: true });
  const parent = await mkdtemp(path.join(downloads, "sae-"));
  const remove = () => rm(parent, { recursive: true, force: true });
  const folder = path.join(parent, name);
  try {
    await exportSae(path.join(home, sae.path), folder, format);
  } catch (error) {
    await remove();
    throw error;
  }
  return { name, folder, remove };
}

/** A name that any file system takes, and that no other SAE's export has. */
function exportName({ id, name }: { id: string; name: string }, format: WritableFormat): string {
  const safe = name
    .replaceAll(/[^\w.-]+/g, "_")
    .replace(/^[._]+/, "")
    .slice(0, 80);
  return `${safe || "sae"}-${id.slice(-8)}-${format}`;
}
