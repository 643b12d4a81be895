import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { concatenateRows } from "../../gpu/data/concatenated-rows.ts";
import { readElements, readSafetensorsHeader, SafetensorsError } from "../../gpu/data/safetensors.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { type ActivationSet, openActivationSet } from "../artifacts/activation-set.ts";
import {
  ActivationSetError,
  type ActivationTensor,
  chooseTensor,
  hookNameOf,
  openSafetensors,
  toFloat32,
} from "../artifacts/activation-tensor.ts";
import { isSet } from "./capture-folder.ts";

/** One safetensors file with a tensor of activations, open for reading. */
export interface ActivationFile extends RowReader {
  readonly file: string;
  readonly tensor: ActivationTensor;
  /** The file's `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Rows start … start + count − 1 as they are stored, little-endian. */
  readStored(start: number, count: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What activations say of themselves. */
export interface ActivationNames {
  model_name: string | null;
  hook_name: string | null;
  dataset_name: string | null;
}

/** Activations of one hook point: the rows of a file, of a folder's files one after another, or of an activation set. */
export interface Activations extends RowReader {
  /** As it was given. */
  readonly location: string;
  /** None of a set. */
  readonly files: readonly ActivationFile[];
  /** The set, of which the rows are those to train on. */
  readonly set: ActivationSet | null;
  readonly names: ActivationNames;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file, a folder's `*.safetensors` files in the order of their names, or the folder of an activation
 * set.
 * @param tensor The tensor to take of files; without it `activations`, else the only two-dimensional tensor of numbers.
 * @throws ActivationSetError for what is missing, damaged, of a wrong dtype or shape, or of several widths.
 */
export async function openActivations(location: string, tensor?: string): Promise<Activations> {
  if (await isSet(location)) return openSet(location);
  const files: ActivationFile[] = [];
  const close = async () => {
    for (const file of files) await file.close();
  };
  try {
    for (const file of await filesAt(location)) files.push(await openActivationFile(file, tensor));
    const [first] = files;
    const other = files.find((file) => file.d_in !== first?.d_in);
    if (first === undefined || other !== undefined) {
      throw new ActivationSetError(
        first === undefined || other === undefined
          ? `${location} holds no .safetensors file.`
          : `${first.file} has width ${first.d_in}, but ${other.file} has width ${other.d_in}; the files of a folder are one hook point's.`,
      );
    }
    const rows = concatenateRows(files);
    return {
      location,
      files,
      set: null,
      names: namesOf(first),
      n_rows: rows.n_rows,
      d_in: rows.d_in,
      read: (start, count) => rows.read(start, count),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openSet(location: string): Promise<Activations> {
  const set = await openActivationSet(location);
  const { model_name, hook_name, dataset_name } = set.manifest;
  return {
    location,
    files: [],
    set,
    names: { model_name, hook_name, dataset_name },
    n_rows: set.n_rows,
    d_in: set.d_in,
    read: (start, count) => set.read(start, count),
    close: () => set.close(),
  };
}

function namesOf({ metadata, tensor }: ActivationFile): ActivationNames {
  return {
    model_name: metadata.get("model_name") ?? metadata.get("model") ?? null,
    hook_name: hookNameOf(metadata, tensor.info.name) ?? null,
    dataset_name: metadata.get("dataset_name") ?? metadata.get("dataset") ?? null,
  };
}

async function filesAt(location: string): Promise<string[]> {
  const found = await stat(location).catch((cause: unknown) => {
    throw new ActivationSetError(`There is no file or folder ${location}.`, cause);
  });
  if (!found.isDirectory()) return [location];
  const names = await readdir(location);
  return names
    .filter((name) => name.endsWith(".safetensors"))
    .sort()
    .map((name) => path.join(location, name));
}

async function openActivationFile(file: string, wanted: string | undefined): Promise<ActivationFile> {
  const source = await openSafetensors(file, file);
  try {
    const header = await readSafetensorsHeader(source);
    const tensor = chooseTensor(header, wanted, file);
    const { info, dtype, n_tokens, d_in } = tensor;
    const readStored = (start: number, count: number) =>
      readElements(source, info, start * d_in, count * d_in);
    return {
      file,
      tensor,
      metadata: header.metadata,
      n_rows: n_tokens,
      d_in,
      readStored,
      read: async (start, count) => toFloat32(dtype, await readStored(start, count)),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    if (error instanceof SafetensorsError) throw new ActivationSetError(`${file}: ${error.message}`, error);
    throw error;
  }
}
