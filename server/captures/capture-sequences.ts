import type { Gpu } from "../../gpu/device/gpu.ts";
import type { LanguageModel } from "../../gpu/lm/language-model.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import { sequencesTogether } from "../headless/capture-batch.ts";
import { loadModel } from "../models/load-model.ts";
import type { ModelFolder } from "../models/model-folder.ts";
import type { TokenSet } from "../tokens/token-set.ts";
import { type CaptureState, writeState } from "./capture-state.ts";
import { forwardFrom, storedBytes } from "./capture-values.ts";
import { type Batch, maskOutliers, outlierThresholds, type Thresholds } from "./outliers.ts";
import { maskOf } from "./set-files.ts";
import type { CaptureDtype } from "./views.ts";
import type { WorkingSet } from "./working-set.ts";

export interface CaptureProgress {
  /** Captured so far, by earlier attempts too. */
  tokens: number;
  total_tokens: number;
  /** Of this attempt; null before its first batch. */
  tokens_per_second: number | null;
}

/** What goes through the model, and what of it is kept how. */
export interface Passing {
  gpu: Gpu;
  model: ModelFolder;
  tokens: TokenSet;
  sets: readonly { hook: string }[];
  dtype: CaptureDtype;
  precision?: Precision;
  batch_size: number | null;
  outlier_norm?: number | null;
  /** Hook points at which rows may be outliers. */
  outlierHooks: readonly string[];
  excluded: ReadonlySet<number>;
  /** Working folders of the sets. */
  folders: readonly string[];
  /** What stands already. */
  state: CaptureState | null;
  signal: AbortSignal;
  onProgress(progress: CaptureProgress): void;
  save_every_ms?: number;
}

export interface Passed {
  thresholds: Thresholds;
  /** Null where nothing was left to do. */
  tokens_per_second: number | null;
}

const saveEveryMs = 1_000;

/**
 * Captures the sequences that are left into the sets, and saves the state now and then; the next batch is under way while
 * one is written.
 * @throws CaptureValueError; what the model throws; the reason of `signal`
 */
export async function captureSequences(passing: Passing, working: readonly WorkingSet[]): Promise<Passed> {
  const { gpu, model, tokens, state, precision = "f32", signal } = passing;
  const { n_sequences, length } = tokens;
  const first = state?.sequences ?? 0;
  if (state !== null && first === n_sequences) {
    return { thresholds: state.thresholds, tokens_per_second: null };
  }
  const hooks = hooksOf(passing);
  const fitting = sequencesTogether(gpu, { spec: model.spec, hooks, n_sequences, length, precision });
  // As the beginning went, so that the rest comes to the same bits; where there is less room than then, not.
  const together =
    state === null
      ? Math.min(passing.batch_size ?? fitting, n_sequences)
      : passing.batch_size === null
        ? Math.min(state.together, fitting)
        : state.together;
  const opened = await loadModel(model, { gpu, hooks, n_sequences: together, length, precision }, signal);
  try {
    const thresholds = state?.thresholds ?? (await calibrated(passing, opened, together));
    const rate = await passAll(passing, working, opened, { first, together, thresholds });
    return { thresholds, tokens_per_second: rate };
  } finally {
    opened.close();
  }
}

interface Way {
  first: number;
  together: number;
  thresholds: Thresholds;
}

async function passAll(
  passing: Passing,
  working: readonly WorkingSet[],
  model: LanguageModel,
  { first, together, thresholds }: Way,
): Promise<number> {
  const { tokens, sets, dtype, signal, folders, save_every_ms = saveEveryMs } = passing;
  const { n_sequences, length } = tokens;
  const began = performance.now();
  let savedAt = began;
  let next = pass(passing, model, first, together);
  for (let at = first; at < n_sequences; ) {
    const { activations, ...given } = await next;
    signal.throwIfAborted();
    const count = given.mask.length / length;
    if (at + count < n_sequences) {
      next = pass(passing, model, at + count, together);
      // It is awaited in the next turn; until then its failure is no unhandled one.
      next.catch(() => undefined);
    }
    const mask = maskOutliers({ activations, ...given }, thresholds);
    for (const [index, set] of working.entries()) {
      const { hook } = sets[index]!;
      const values = activations.get(hook)!;
      const width = values.length / mask.length;
      await set.append(values, storedBytes(values, dtype, { hook, first: at, length, width }), mask);
    }
    at += count;
    const now = performance.now();
    if (at === n_sequences || now - savedAt >= save_every_ms) {
      const saved = [];
      for (const set of working) saved.push(await set.synced());
      await writeState(folders, { together, thresholds: { ...thresholds }, sequences: at, sets: saved });
      savedAt = performance.now();
    }
    passing.onProgress({
      tokens: at * length,
      total_tokens: n_sequences * length,
      tokens_per_second: rateOf((at - first) * length, began),
    });
  }
  return rateOf((n_sequences - first) * length, began);
}

interface PassedBatch extends Batch {
  activations: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
}

/** Hook points that a pass gives. */
function hooksOf({ sets, outlierHooks }: Pick<Passing, "sets" | "outlierHooks">): string[] {
  return [...new Set([...sets.map(({ hook }) => hook), ...outlierHooks])];
}

/** Sequences from `from` on, as many as go together; not beyond `end`. */
async function pass(
  passing: Passing,
  model: LanguageModel,
  from: number,
  together: number,
  end = passing.tokens.n_sequences,
): Promise<PassedBatch> {
  const { gpu, tokens, excluded } = passing;
  const count = Math.min(together, end - from);
  const ids = await tokens.read(from, count);
  const mask = maskOf(ids, await tokens.kinds(from, count), excluded);
  return { mask, activations: await forwardFrom(gpu, model, hooksOf(passing), ids, from) };
}

/** Norms beyond which rows are outliers, from the beginning of what is trained on. */
async function calibrated(passing: Passing, model: LanguageModel, together: number): Promise<Thresholds> {
  const { tokens, outlierHooks, outlier_norm = null, signal } = passing;
  if (outlier_norm === null) return {};
  const trained = tokens.n_sequences - tokens.manifest.held_out_sequences;
  async function* batches() {
    for (let from = 0; from < trained; from += together) {
      signal.throwIfAborted();
      yield await pass(passing, model, from, together, trained);
    }
  }
  return outlierThresholds(outlierHooks, outlier_norm, batches());
}

function rateOf(tokens: number, began: number): number {
  return (1_000 * tokens) / Math.max(1, performance.now() - began);
}
