import type { Sae, SaeConfig, SaeMetadata } from "../../gpu/sae/sae.ts";
import { saeFaults, saeShapes } from "../../gpu/sae/sae-shapes.ts";
import { SaeFormatError } from "./sae-format-error.ts";
import {
  describeTensor,
  readFloat32,
  type StoredTensor,
  type TensorFile,
  transposed,
} from "./tensor-file.ts";

/** Layouts in which SAEs are found; `facet` is ours, for what SAELens' has no words for. */
export const saeFormats = [
  "saelens",
  "facet",
  "dictionary_learning",
  "sparsify",
  "gemma_scope",
  "gemma_scope_2",
  "openai",
] as const;
export type SaeFormat = (typeof saeFormats)[number];

/** An SAE found in a file or folder: described, with its weights not yet read. Close it. */
export interface SaeSource {
  readonly format: SaeFormat;
  /** What the format calls it, e.g. "jumprelu" or "BatchTopKSAE". */
  readonly architecture: string;
  readonly config: SaeConfig;
  readonly stored: readonly StoredTensor[];
  /** What a user should know of how it was taken, in full sentences; reading may add to it. */
  readonly notes: readonly string[];
  /** Throws `SaeFormatError` for weights that are not finite or contradict the configuration. */
  read(): Promise<SaeContents>;
  close(): Promise<void>;
}

export interface SaeContents {
  sae: Sae;
  /** log10(firing frequency + 1e-10), [d_sae]; null where nobody counted. */
  sparsity: Float32Array | null;
  /** How it came about, as the source tells it. */
  runner_cfg: Record<string, unknown> | null;
  /** What a user should know of how it was taken, in full sentences. */
  notes: readonly string[];
}

/** Where one tensor of the SAE comes from. */
export interface TensorOrigin {
  /** Its name in the file. */
  from: string;
  /** Kept the other way round. */
  transposed?: boolean;
}

/** By our names; a number stands for a vector of it. */
export type TensorOrigins = Record<string, TensorOrigin | number>;

/**
 * An SAE whose tensors come from one file. Checks that each is there in its shape, and that the file holds no others
 * but `ignored`. Throws `SaeFormatError`; the file is the caller's to close then.
 */
export function saeSource(
  file: TensorFile,
  about: Pick<SaeSource, "format" | "architecture" | "config" | "notes">,
  origins: TensorOrigins,
  options: { ignored?: readonly string[]; besides?(): Promise<Omit<SaeContents, "sae">> } = {},
): SaeSource {
  const shapes = [...saeShapes(about.config)];
  const known = new Set(options.ignored);
  for (const [name, shape] of shapes) {
    const origin = origins[name];
    if (typeof origin !== "object") continue;
    known.add(origin.from);
    checkTensor(file, origin.from, origin.transposed ? shape.toReversed() : shape);
  }
  const unexpected = [...file.tensors.keys()].filter((name) => !known.has(name));
  if (unexpected.length > 0) {
    throw new SaeFormatError(
      `${file.file} has unexpected tensors: ${unexpected.slice(0, 10).join(", ").slice(0, 300)}. ` +
        `A ${about.architecture} SAE has ${[...known].join(", ")}; it may be of another architecture than its configuration says.`,
    );
  }
  return {
    ...about,
    stored: [...file.tensors.values()],
    read: async () => {
      const tensors: Sae["tensors"] = {};
      for (const [name, shape] of shapes) {
        const data = await readOrigin(file, origins[name]!, shape);
        tensors[name] = { shape, data };
      }
      const sae = { config: about.config, tensors };
      const faults = saeFaults(sae);
      if (faults.length > 0) {
        throw new SaeFormatError(
          `${file.file} holds no SAE that can be used. ${faults.join(" ")} Export or download it again.`,
        );
      }
      const besides = await options.besides?.();
      return {
        sae,
        sparsity: besides?.sparsity ?? null,
        runner_cfg: besides?.runner_cfg ?? null,
        notes: [...about.notes, ...(besides?.notes ?? [])],
      };
    },
    close: () => file.close(),
  };
}

async function readOrigin(file: TensorFile, origin: TensorOrigin | number, shape: number[]) {
  const elements = shape.reduce((product, extent) => product * extent, 1);
  if (typeof origin === "number") return new Float32Array(elements).fill(origin);
  const data = await readFloat32(file, requireTensor(file, origin.from));
  return origin.transposed ? transposed(data, shape[1]!, shape[0]!) : data;
}

/** Throws `SaeFormatError` with what there is instead. */
export function requireTensor({ file, tensors }: TensorFile, name: string): StoredTensor {
  const tensor = tensors.get(name);
  if (tensor) return tensor;
  const names = [...tensors.keys()].slice(0, 12).join(", ").slice(0, 300);
  throw new SaeFormatError(
    `${file} has no tensor ${name}; it has ${names || "none"}. Export or download it again.`,
  );
}

function checkTensor(file: TensorFile, name: string, shape: readonly number[]): void {
  const tensor = requireTensor(file, name);
  if (tensor.shape.join() === shape.join()) return;
  throw new SaeFormatError(
    `${file.file}: ${name} is ${describeTensor(tensor)} instead of [${shape.join(", ")}]. Check the configuration beside it.`,
  );
}

/** Extents of a matrix. Throws `SaeFormatError` for a tensor that is none, or is empty. */
export function matrixShape(file: TensorFile, name: string): [rows: number, columns: number] {
  const tensor = requireTensor(file, name);
  const [rows, columns] = tensor.shape;
  if (tensor.shape.length === 2 && rows && columns) return [rows, columns];
  throw new SaeFormatError(
    `${file.file}: ${name} is ${describeTensor(tensor)}, not a matrix. Export or download it again.`,
  );
}

/** Metadata of which only so much is known. */
export function metadataOf(known: Partial<SaeMetadata>): SaeMetadata {
  return {
    model_name: null,
    hook_name: null,
    hook_name_out: null,
    dataset_name: null,
    context_size: null,
    prepend_bos: null,
    training_architecture: null,
    extra: {},
    ...known,
  };
}

/** The settings of an SAE that reads and reconstructs one hook point, but for what is given. */
export function configOf(
  given: Pick<SaeConfig, "activation" | "d_in" | "d_sae" | "apply_b_dec_to_input" | "metadata"> &
    Partial<SaeConfig>,
): SaeConfig {
  return {
    d_out: given.d_in,
    k: null,
    rescale_acts_by_decoder_norm: false,
    normalize_activations: "none",
    transcoder: false,
    skip: false,
    n_hook_points: 1,
    ...given,
  };
}
