import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { type HookPoint, requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import { openActivationSet } from "../artifacts/activation-set.ts";
import { ActivationSetError } from "../artifacts/activation-tensor.ts";
import { namesIn } from "../artifacts/aside.ts";
import { checkSpace } from "../artifacts/atomic-folder.ts";
import { type CapturedManifest, manifestFile } from "../artifacts/captured-manifest.ts";
import { storageError } from "../artifacts/storage-error.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { hookFault } from "../headless/hook-names.ts";
import { misfits } from "../headless/live-data.ts";
import type { ModelFolder } from "../models/model-folder.ts";
import type { TokenSet } from "../tokens/token-set.ts";
import { CaptureLock } from "./capture-lock.ts";
import { type CaptureProgress, captureSequences } from "./capture-sequences.ts";
import { beginFolder, type CaptureSubject, clearFolder, difference, readState } from "./capture-state.ts";
import { CaptureValueError } from "./capture-values.ts";
import { rowBytes, setBytes } from "./set-bytes.ts";
import { hasText, writeSideFiles } from "./set-files.ts";
import type { CaptureDtype } from "./views.ts";
import { removeTraces, type SetIdentity, WorkingSet, workingFolder } from "./working-set.ts";

export type { CaptureProgress };

export interface Capture {
  gpu: Gpu;
  model: ModelFolder;
  /** A pass takes whole sequences: those longer than the model takes are refused. */
  tokens: TokenSet;
  /** Hook points of one pass, with the folder that each set becomes. */
  sets: readonly { hook: string; folder: string }[];
  dtype: CaptureDtype;
  /** Ids whose rows are left out of training as well. */
  excluded_token_ids: readonly number[];
  /** Rows beyond so many medians of the norms are left out of training as well, in all sets; null: none is. */
  outlier_norm?: number | null;
  /** Of the model's weights on the GPU; default: f32. */
  precision?: Precision;
  /** Sequences that go through the model together; null: what fits. */
  batch_size: number | null;
  /** For the sets' manifests. */
  model_name: string;
  model_sha256: string;
  dataset_name: string;
  signal: AbortSignal;
  onProgress(progress: CaptureProgress): void;
  /** After at most so long, what was captured stands for sure. */
  save_every_ms?: number;
  /** Most bytes of a file of rows. */
  file_bytes?: number;
}

export interface Captured {
  /** In the order of the hook points. */
  manifests: CapturedManifest[];
  /** Null where this attempt captured nothing. */
  tokens_per_second: number | null;
}

const fileBytes = 256 * 2 ** 20;

/**
 * Runs a model over all tokens and keeps every row of every hook point. Sets appear once they are whole. An attempt that
 * was cut, however it was, is taken up by the next one from where it stood, after every byte of that has been compared
 * with its hash, and comes to the same files. Where one is not as it was written, all are captured again.
 * @throws InvalidInputError for hook points, tokens and options that do not fit the model; ConflictError while another
 * process is at work on a set; ActivationSetError where nothing is left to train on, and where the folders hold something
 * else; CaptureValueError for an activation that is not finite or that a half cannot hold; StorageError; what the model
 * throws; the reason of `signal`
 */
export async function captureActivations(capture: Capture): Promise<Captured> {
  capture.signal.throwIfAborted();
  refuseMisfits({ ...capture, hooks: capture.sets.map(({ hook }) => hook) });
  // The state is always kept with the same set, in whatever order they are asked for.
  const order = capture.sets.toSorted((a, b) => (a.hook < b.hook ? -1 : 1));
  const sorted = { ...capture, sets: order };
  const parent = path.dirname(order[0]!.folder);
  try {
    await mkdir(parent, { recursive: true });
    const { manifests, tokens_per_second } = await captured(sorted, subjectOf(sorted));
    return { manifests: capture.sets.map((set) => manifests[order.indexOf(set)]!), tokens_per_second };
  } catch (error) {
    throw storageError(parent, error);
  }
}

/** The hook points. @throws InvalidInputError with all that cannot be captured of a model so */
export function refuseMisfits({
  model,
  tokens,
  hooks,
  outlier_norm = null,
}: Pick<Capture, "model" | "tokens" | "outlier_norm"> & { hooks: readonly string[] }): HookPoint[] {
  const faults: Fault[] = misfits(model, tokens);
  const points: HookPoint[] = [];
  for (const hook of hooks) {
    try {
      points.push(requireHookPoint(model.spec, hook));
    } catch (error) {
      if (!(error instanceof UnknownHookError)) throw error;
      faults.push({ path: "--hooks", message: hookFault(model.spec, error) });
    }
  }
  if (hooks.length === 0 || new Set(hooks).size < hooks.length) {
    faults.push({ path: "--hooks", message: "Name one hook point or more, each of them once." });
  }
  if (outlier_norm !== null && !(Number.isFinite(outlier_norm) && outlier_norm > 1)) {
    faults.push({ path: "--outlier-norm", message: `It is a number above 1, not ${outlier_norm}.` });
  }
  if (faults.length > 0) throw new InvalidInputError(faults);
  return points;
}

/** What all of the capture's sets are of together. */
interface WholeCapture {
  subject: CaptureSubject;
  /** Sequences of a file of rows. */
  fileSequences: number;
  /** Hook points at which rows may be outliers. */
  outlierHooks: readonly string[];
}

function subjectOf(capture: Capture): WholeCapture {
  const { sets, tokens, outlier_norm = null, file_bytes = fileBytes } = capture;
  const hooks = sets.map(({ hook }) => hook);
  const outlierHooks = outlier_norm === null ? [] : hooks;
  const identities = hooks.map((hook) => identityOf(capture, hook, outlierHooks));
  const fileSequences = Math.max(
    1,
    Math.floor(file_bytes / (Math.max(...identities.map(rowBytes)) * tokens.length)),
  );
  const { hook_name: _hook, d_in: _width, ...rest } = identities[0]!;
  return {
    subject: { ...rest, hooks: hooks.join(","), sequences_of_a_file: fileSequences },
    fileSequences,
    outlierHooks,
  };
}

async function captured(capture: Capture, whole: WholeCapture): Promise<Captured> {
  const { sets, signal } = capture;
  const identities = sets.map(({ hook }) => identityOf(capture, hook, whole.outlierHooks));
  const published = await publishedOf(sets, identities);
  if (published.every((one) => one !== null)) return { manifests: published, tokens_per_second: null };
  const folders = sets.map(({ folder }) => workingFolder(folder));
  const lock = await CaptureLock.take(folders.filter((_, index) => published[index] === null));
  try {
    const state = await readState(
      folders,
      whole.subject,
      published.map((one) => one !== null),
      signal,
    );
    // Some sets stand, and nothing says how far the others are: those are captured by themselves.
    const missing = published.flatMap((one, index) => (one === null ? [index] : []));
    const alone = state === null ? missing : [...sets.keys()];
    const part = { ...capture, sets: alone.map((index) => sets[index]!) };
    const made = await captureSets(part, whole, {
      identities: alone.map((index) => identities[index]!),
      published: alone.map((index) => published[index]!),
      state,
    });
    const manifests = published.map((one, index) => one ?? made.manifests[alone.indexOf(index)]!);
    return { manifests, tokens_per_second: made.tokens_per_second };
  } catch (error) {
    // It would come again every time, so nothing is to be gone on with.
    if (error instanceof CaptureValueError) {
      for (const index of published.keys()) {
        if (published[index] === null) await clearFolder(folders[index]!);
      }
    }
    throw error;
  } finally {
    await lock.release();
  }
}

interface Beginning {
  identities: readonly SetIdentity[];
  published: readonly (CapturedManifest | null)[];
  state: Awaited<ReturnType<typeof readState>>;
}

async function captureSets(
  capture: Capture,
  { subject, fileSequences, outlierHooks }: WholeCapture,
  { identities, published, state }: Beginning,
): Promise<Captured> {
  const { sets, tokens, signal } = capture;
  const excluded = new Set(capture.excluded_token_ids);
  if (!(await hasText(tokens, tokens.manifest.held_out_sequences, excluded))) {
    throw new ActivationSetError(
      "No token is left to train on: all are special, padding, excluded or held out. Exclude fewer, or tokenize more text.",
    );
  }
  const folders = sets.map(({ folder }) => workingFolder(folder));
  const wanted = identities.reduce((sum, one) => sum + setBytes(tokens.manifest, rowBytes(one)), 0);
  const done = state?.sets.reduce((sum, set) => sum + written(set), 0) ?? 0;
  await checkSpace(path.dirname(sets[0]!.folder), wanted - done);
  if (state === null) for (const folder of folders) await beginFolder(folder, subject);

  const working: (WorkingSet | null)[] = [];
  try {
    for (const [index, one] of identities.entries()) {
      const from = state === null ? null : { set: state.sets[index]!, sequences: state.sequences };
      working.push(
        published[index] === null
          ? await WorkingSet.open(sets[index]!.folder, one, fileSequences, from)
          : null,
      );
    }
    // Sets are published only when all are whole, so while there is something to capture all are open.
    const open = working.filter((set) => set !== null);
    const ended = await captureSequences({ ...capture, outlierHooks, excluded, folders, state }, open);
    // The state stands in the first one's folder, so that one comes last.
    const manifests = [...published];
    for (let index = sets.length - 1; index >= 0; index--) {
      signal.throwIfAborted();
      const set = working[index];
      if (!set) continue;
      const threshold = ended.thresholds[sets[index]!.hook] ?? null;
      manifests[index] = await set.publish(threshold, (folder) => writeSideFiles(folder, tokens));
    }
    return { manifests: manifests.map((one) => one!), tokens_per_second: ended.tokens_per_second };
  } finally {
    for (const set of working) await set?.close();
  }
}

function identityOf(
  {
    model,
    tokens,
    dtype,
    excluded_token_ids,
    outlier_norm = null,
    precision = "f32",
    ...names
  }: Pick<
    Capture,
    | "model"
    | "tokens"
    | "dtype"
    | "excluded_token_ids"
    | "outlier_norm"
    | "precision"
    | "model_name"
    | "model_sha256"
    | "dataset_name"
  >,
  hook: string,
  outlierHooks: readonly string[],
): SetIdentity {
  const { held_out_sequences, hash, dataset } = tokens.manifest;
  return {
    d_in: requireHookPoint(model.spec, hook).width,
    dtype,
    n_sequences: tokens.n_sequences,
    length: tokens.length,
    held_out_sequences,
    hook_name: hook,
    model_name: names.model_name,
    dataset_name: names.dataset_name,
    dataset_sha256: dataset.sha256,
    model_sha256: names.model_sha256,
    tokens_hash: hash,
    precision,
    excluded_token_ids: [...new Set(excluded_token_ids)].sort((a, b) => a - b),
    outlier_norm,
    outlier_hooks: [...outlierHooks],
  };
}

function written({
  finished,
  open,
  mask,
}: {
  finished: readonly { bytes: number }[];
  open: { bytes: number } | null;
  mask: { bytes: number };
}): number {
  return finished.reduce((sum, file) => sum + file.bytes, (open?.bytes ?? 0) + mask.bytes);
}

/** Sets that stand already, whole and of this very capture. Throws `ActivationSetError` for any other in their place. */
async function publishedOf(
  sets: Capture["sets"],
  identities: readonly SetIdentity[],
): Promise<(CapturedManifest | null)[]> {
  const found: (CapturedManifest | null)[] = [];
  for (const [index, { folder }] of sets.entries()) {
    if (!(await namesIn(folder)).includes(manifestFile)) {
      found.push(null);
      continue;
    }
    const set = await openActivationSet(folder);
    await set.close();
    const { manifest } = set;
    const other =
      manifest.format_version === 2
        ? difference(manifest, identities[index]!)
        : "it was imported, not captured";
    if (manifest.format_version !== 2 || other !== null) {
      throw new ActivationSetError(`${folder} holds another set already: ${other}. Name another folder.`);
    }
    await removeTraces(folder);
    found.push(manifest);
  }
  return found;
}
