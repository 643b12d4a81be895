import { statfs } from "node:fs/promises";
import path from "node:path";
import { plannedBytes } from "../../gpu/lm/language-model.ts";
import { checkSpace } from "../artifacts/atomic-folder.ts";
import { sequencesTogether } from "../headless/capture-batch.ts";
import { loadModel } from "../models/load-model.ts";
import { type Capture, refuseMisfits } from "./capture.ts";
import { forwardFrom, storedBytes } from "./capture-values.ts";
import { rowBytes, setBytes } from "./set-bytes.ts";

/** What a capture would take, before any of it is written. */
export interface CaptureForecast {
  /** Of each hook point's set: all of its files but the manifest, to the byte. */
  sets: { hook: string; width: number; bytes: number }[];
  bytes: number;
  tokens: number;
  free_bytes: number;
  /** Of the model and its activations, and of the numbers that are on their way to the disk. */
  gpu_bytes: number;
  host_bytes: number;
  n_sequences_together: number;
  /** Measured; without the time that the disk takes beyond that of the GPU, which is at work meanwhile. */
  tokens_per_second: number;
  seconds: number;
  adapter: string;
}

/** A measurement ends after so long, or so many batches. */
const measuredMs = 1_500;
const mostBatches = 32;

/**
 * What a capture takes: bytes exactly, and time from a short run of this very model on this GPU.
 * @param folder Where the sets would be; need not be there.
 * @throws InvalidInputError as the capture; StorageError where the disk lacks the room; what the model throws
 */
export async function forecastCapture(
  capture: Omit<Capture, "sets" | "onProgress" | "model_name" | "model_sha256" | "dataset_name"> & {
    hooks: readonly string[];
    folder: string;
  },
): Promise<CaptureForecast> {
  const { gpu, model, tokens, hooks, dtype, precision = "f32", batch_size, folder, signal } = capture;
  const points = refuseMisfits({ ...capture, hooks });
  const sets = points.map(({ name, width }) => ({
    hook: name,
    width,
    bytes: setBytes(tokens.manifest, rowBytes({ d_in: width, dtype })),
  }));
  const bytes = sets.reduce((sum, set) => sum + set.bytes, 0);
  const disk = await folderThere(folder);
  await checkSpace(disk, bytes);
  const { bavail, bsize } = await statfs(disk);
  const { n_sequences, length } = tokens;
  const passes = { spec: model.spec, hooks, n_sequences, length, precision };
  const together = Math.min(n_sequences, batch_size ?? sequencesTogether(gpu, passes));
  const size = { hooks, n_sequences: together, length, precision };
  const tokens_per_second = await measuredRate(capture, together, signal);
  const width = points.reduce((sum, point) => sum + point.width, 0);
  return {
    sets,
    bytes,
    tokens: n_sequences * length,
    free_bytes: bavail * bsize,
    gpu_bytes: plannedBytes(model.spec, gpu.capabilities, size),
    // Two batches in f32, one of which is also there as it is stored.
    host_bytes: together * length * (8 * width + rowBytes({ d_in: width, dtype })),
    n_sequences_together: together,
    tokens_per_second,
    seconds: (n_sequences * length) / tokens_per_second,
    adapter: gpu.capabilities.adapter,
  };
}

/** Tokens a second through the model and into the numbers that are stored, after a pass that warms up. */
async function measuredRate(
  {
    gpu,
    model,
    tokens,
    hooks,
    dtype,
    precision = "f32",
  }: Pick<
    Parameters<typeof forecastCapture>[0],
    "gpu" | "model" | "tokens" | "hooks" | "dtype" | "precision"
  >,
  together: number,
  signal: AbortSignal,
): Promise<number> {
  const { n_sequences, length } = tokens;
  const opened = await loadModel(model, { gpu, hooks, n_sequences: together, length, precision }, signal);
  try {
    const pass = async (first: number) => {
      signal.throwIfAborted();
      const activations = await forwardFrom(gpu, opened, hooks, await tokens.read(first, together), first);
      for (const [hook, values] of activations) {
        const width = values.length / (together * length);
        storedBytes(values, dtype, { hook, first, length, width });
      }
    };
    await pass(0);
    const began = performance.now();
    let batches = 0;
    while (batches < mostBatches && (batches === 0 || performance.now() - began < measuredMs)) {
      batches++;
      await pass((batches * together) % (n_sequences - together + 1));
    }
    return (1_000 * batches * together * length) / Math.max(1, performance.now() - began);
  } finally {
    opened.close();
  }
}

/** The folder, or the nearest above it that is there. */
async function folderThere(folder: string): Promise<string> {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const found = await statfs(at).catch(() => null);
    if (found !== null || at === path.dirname(at)) return at;
  }
}
