import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import type { Sae } from "../../gpu/sae/sae.ts";
import type { WrittenFolder } from "../artifacts/atomic-folder.ts";
import { isDictionaryLearning, openDictionaryLearning } from "./dictionary-learning.ts";
import { gemmaScope2File, gemmaScopeFile, openGemmaScope, openGemmaScope2 } from "./gemma-scope.ts";
import { isOpenAi, openOpenAi } from "./openai.ts";
import { cfgFile, openSaeFolder, type SaeExtras, weightsFile, writeSaeFolder } from "./sae-folder.ts";
import { asFormatError, NoSaeError, SaeExportError, SaeFormatError } from "./sae-format-error.ts";
import type { SaeContents, SaeFormat, SaeSource } from "./sae-source.ts";
import { openSparsify, sparsifyWeights, writeSparsify } from "./sparsify.ts";
import { openTorchFile } from "./torch-file.ts";

/** Layouts an SAE can be written in. */
export const writableFormats = ["saelens", "facet", "sparsify"] as const;
export type WritableFormat = (typeof writableFormats)[number];

/**
 * The layout of the SAE in a folder or file; null where there is none of a known layout.
 * Throws `SaeFormatError` for a file that cannot be told because it is damaged or unsafe.
 */
export async function detectFormat(target: string): Promise<SaeFormat | null> {
  const source = await find(target);
  if (source === null) return null;
  await source.close();
  return source.format;
}

/** Opens the SAE in a folder or file, of any layout. Throws `SaeFormatError`. */
export async function openSae(target: string): Promise<SaeSource> {
  const source = await find(target);
  if (source !== null) return source;
  throw new NoSaeError(
    `${target} holds no SAE of a known layout: neither SAELens' or Facet's (cfg.json and sae_weights.safetensors), dictionary_learning's (ae.pt), ` +
      "sparsify's (cfg.json and sae.safetensors), Gemma Scope's (params.npz, params.safetensors) nor OpenAI's (.pt). Name the folder of one SAE.",
  );
}

export interface ReadSae extends SaeContents {
  format: SaeFormat;
  /** What the format calls it. */
  architecture: string;
}

/** Reads the SAE in a folder or file, of any layout, and checks it whole. Throws `SaeFormatError`. */
export async function readSae(target: string): Promise<ReadSae> {
  const source = await openSae(target);
  try {
    const { format, architecture } = source;
    return { format, architecture, ...(await source.read()) };
  } finally {
    await source.close();
  }
}

/**
 * Writes an SAE as a folder, whole or not at all. Throws `SaeExportError` for what the layout cannot express,
 * `StorageError` from the disk.
 */
export async function writeSae(
  folder: string,
  sae: Sae,
  format: WritableFormat,
  options: SaeExtras = {},
): Promise<WrittenFolder> {
  switch (format) {
    case "saelens":
    case "facet":
      return writeSaeFolder(folder, sae, options, format);
    case "sparsify":
      return writeSparsify(folder, sae);
    default:
      throw new SaeExportError(
        `SAEs are written for ${writableFormats.join(", ")}, not for ${JSON.stringify(format)}.`,
      );
  }
}

/** Opens what the names in a folder, or a file's own name, say is an SAE. */
async function find(target: string): Promise<SaeSource | null> {
  if (await isFolder(target)) {
    const names = new Set(await readdir(target));
    const inside = (name: string) => path.join(target, name);
    if (names.has(cfgFile) && names.has(weightsFile)) return openSaeFolder(target);
    if (names.has(sparsifyWeights)) return openSparsify(target);
    if (names.has("ae.pt")) return openTorch(inside("ae.pt"));
    if (names.has(gemmaScopeFile)) return openGemmaScope(inside(gemmaScopeFile));
    return names.has(gemmaScope2File) ? openGemmaScope2(inside(gemmaScope2File)) : null;
  }
  const name = path.basename(target);
  if (name === weightsFile || name === cfgFile || name === sparsifyWeights) return find(path.dirname(target));
  if (name.endsWith(".npz")) return openGemmaScope(target);
  if (/\.pth?$/.test(name)) return openTorch(target);
  return name === gemmaScope2File ? openGemmaScope2(target) : null;
}

async function isFolder(target: string): Promise<boolean> {
  try {
    return (await stat(target)).isDirectory();
  } catch (error) {
    throw asFormatError(target, error);
  }
}

/** The SAE of a torch file is told by its tensors. */
async function openTorch(file: string): Promise<SaeSource> {
  const opened = await openTorchFile(file);
  try {
    if (isOpenAi(opened)) return openOpenAi(opened);
    if (isDictionaryLearning(opened)) return await openDictionaryLearning(opened);
    const names = [...opened.tensors.keys(), ...opened.values.keys()].slice(0, 12).join(", ").slice(0, 300);
    throw new SaeFormatError(
      `${file} is not an SAE of dictionary_learning or OpenAI: it holds ${names || "nothing"}. Export the SAE's own state_dict.`,
    );
  } catch (error) {
    await opened.close();
    throw error;
  }
}
