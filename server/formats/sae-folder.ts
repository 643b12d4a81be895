import { access } from "node:fs/promises";
import path from "node:path";
import { safetensorsPieces } from "../../gpu/data/safetensors.ts";
import type { Sae } from "../../gpu/sae/sae.ts";
import { saeFaults, saeShapes, saeTensor } from "../../gpu/sae/sae-shapes.ts";
import { type FolderWriter, type WrittenFolder, writeFolder } from "../artifacts/atomic-folder.ts";
import { facetCfg, fromFacetCfg, isFacetCfg } from "./facet.ts";
import { readJsonFile, readJsonFileIfThere } from "./json-file.ts";
import { SaeExportError, SaeFormatError } from "./sae-format-error.ts";
import { requireTensor, type SaeContents, type SaeSource, saeSource } from "./sae-source.ts";
import { fromSaelensCfg, saelensCfg, saelensRefusal } from "./saelens.ts";
import { openSafetensorsFile } from "./safetensors-file.ts";
import { readFloat32 } from "./tensor-file.ts";

/**
 * The folder of one SAE: `cfg.json`, `sae_weights.safetensors`, and if there is something to say `sparsity.safetensors`
 * and `runner_cfg.json`. It is SAELens 6's wherever that can express the SAE, else ours (facet.ts).
 * No dates, no ids: equal SAEs give equal bytes.
 */
export const cfgFile = "cfg.json";
export const weightsFile = "sae_weights.safetensors";
const sparsityFile = "sparsity.safetensors";
const runnerFile = "runner_cfg.json";

/** What goes beside the weights. */
export interface SaeExtras {
  /** Firing frequency per feature in [0, 1], [d_sae]; kept as SAELens' sparsity, log10(frequency + 1e-10). */
  feature_frequency?: Float32Array | null;
  /** The same, already as log10; bit for bit what another folder held. */
  sparsity?: Float32Array | null;
  /** How the SAE came about: plain JSON of any form, for people. */
  runner_cfg?: Record<string, unknown> | null;
}

/**
 * Writes the folder, whole or not at all, in SAELens' layout if it can express the SAE, else in ours; or in the one
 * that is asked for. Throws `SaeExportError` for weights that may not be written, or that SAELens cannot express when it
 * is asked for; `StorageError` from the disk.
 */
export async function writeSaeFolder(
  folder: string,
  sae: Sae,
  extras: SaeExtras = {},
  layout?: "saelens" | "facet",
): Promise<WrittenFolder & { format: "saelens" | "facet" }> {
  checkWritable(folder, sae);
  const refusal = saelensRefusal(sae.config);
  const format = layout ?? (refusal === null ? "saelens" : "facet");
  if (format === "saelens" && refusal !== null) {
    throw new SaeExportError(
      `This SAE cannot be written for SAELens. ${refusal} Export it in Facet's own layout instead.`,
    );
  }
  const { d_sae } = sae.config;
  const sparsity = extras.sparsity ?? extras.feature_frequency?.map((p) => Math.log10(p + 1e-10));
  if (sparsity && (sparsity.length !== d_sae || sparsity.some(Number.isNaN))) {
    throw new SaeExportError(
      `No SAE was written: the ${sparsity.length} firing frequencies are not ${d_sae} numbers.`,
    );
  }
  const weights = weightPieces(sae);
  const written = await writeFolder(
    folder,
    async (writer) => {
      await writeJson(writer, cfgFile, format === "saelens" ? saelensCfg(sae.config) : facetCfg(sae.config));
      await writer.file(weightsFile, weights);
      if (sparsity) {
        const tensor = { name: "sparsity", shape: [d_sae], data: sparsity };
        await writer.file(sparsityFile, safetensorsPieces([tensor]));
      }
      if (extras.runner_cfg) await writeJson(writer, runnerFile, extras.runner_cfg);
    },
    weights.reduce((bytes, piece) => bytes + piece.byteLength, 0),
  );
  return { ...written, format };
}

/** Throws `SaeExportError` unless the SAE can be used by whoever reads it. */
export function checkWritable(target: string, sae: Sae): void {
  const faults = saeFaults(sae);
  if (faults.length === 0) return;
  throw new SaeExportError(
    `No SAE was written to ${target}: ${faults.join(" ")} If it was just trained, go on from an earlier checkpoint with a lower learning rate.`,
  );
}

function weightPieces(sae: Sae): Uint8Array[] {
  return safetensorsPieces(
    [...saeShapes(sae.config)].map(([name, shape]) => ({ name, shape, data: saeTensor(sae, name) })),
  );
}

export function writeJson(writer: FolderWriter, name: string, value: unknown) {
  return writer.file(name, [new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)]);
}

/**
 * Opens a folder of either layout and checks it as strictly as SAELens' loader: exactly these tensors, in these shapes.
 * Throws `SaeFormatError`.
 */
export async function openSaeFolder(folder: string): Promise<SaeSource> {
  const file = path.join(folder, cfgFile);
  const cfg = await readJsonFile(file);
  const about = isFacetCfg(cfg) ? fromFacetCfg(file, cfg) : fromSaelensCfg(file, cfg);
  const weights = await openSafetensorsFile(path.join(folder, weightsFile));
  try {
    const origins = [...saeShapes(about.config).keys()].map((name) => [name, { from: name }] as const);
    return saeSource(weights, about, Object.fromEntries(origins), {
      besides: async () => ({
        sparsity: await readSparsity(path.join(folder, sparsityFile), about.config.d_sae),
        ...(await readProvenance(path.join(folder, runnerFile))),
      }),
    });
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** log10 of the firing frequencies, [d_sae], where the folder has them. */
async function readSparsity(file: string, d_sae: number): Promise<Float32Array | null> {
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (!there) return null;
  const source = await openSafetensorsFile(file);
  try {
    const sparsity = await readFloat32(source, requireTensor(source, "sparsity"));
    if (sparsity.length === d_sae && !sparsity.some(Number.isNaN)) return sparsity;
    throw new SaeFormatError(
      `${file} should hold ${d_sae} numbers, but holds ${sparsity.length} or NaN among them. Remove it, or copy it again.`,
    );
  } finally {
    await source.close();
  }
}

/** Provenance is for people: what is wrong with it is told, and does not keep an SAE from being used. */
async function readProvenance(file: string): Promise<Pick<SaeContents, "runner_cfg" | "notes">> {
  try {
    return { runner_cfg: await readJsonFileIfThere(file), notes: [] };
  } catch (error) {
    if (!(error instanceof SaeFormatError)) throw error;
    return { runner_cfg: null, notes: [`How it was trained is not known. ${error.message}`] };
  }
}

export interface SaeFolder extends SaeContents {
  format: "saelens" | "facet";
}

/** Reads a folder of either layout. Throws `SaeFormatError`. */
export async function readSaeFolder(folder: string): Promise<SaeFolder> {
  const source = await openSaeFolder(folder);
  try {
    return { format: source.format === "facet" ? "facet" : "saelens", ...(await source.read()) };
  } finally {
    await source.close();
  }
}
