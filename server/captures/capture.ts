import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { float16Bits } from "../../gpu/data/to-float16.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { requireHookPoint } from "../../gpu/lm/hook-points.ts";
import { openActivationSet } from "../artifacts/activation-set.ts";
import { ActivationSetError } from "../artifacts/activation-tensor.ts";
import { namesIn } from "../artifacts/aside.ts";
import { checkSpace } from "../artifacts/atomic-folder.ts";
import { type CapturedManifest, manifestFile } from "../artifacts/captured-manifest.ts";
import { storageError } from "../artifacts/storage-error.ts";
import { sequencesTogether } from "../headless/capture-batch.ts";
import { loadModel } from "../models/load-model.ts";
import type { ModelFolder } from "../models/model-folder.ts";
import type { TokenSet } from "../tokens/token-set.ts";
import { emptyFolder, identityHash, readState, stateFile, writeState } from "./capture-state.ts";
import { countText, maskOf, writeSideFiles } from "./set-files.ts";
import type { CaptureDtype } from "./views.ts";
import { type SetIdentity, WorkingSet, workingFolder } from "./working-set.ts";

export interface Capture {
  gpu: Gpu;
  model: ModelFolder;
  tokens: TokenSet;
  /** Hook points of one pass, with the folder that each set becomes. */
  sets: readonly { hook: string; folder: string }[];
  dtype: CaptureDtype;
  /** Ids whose rows are left out of training as well. */
  excluded_token_ids: readonly number[];
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

export interface CaptureProgress {
  /** Captured so far, by earlier attempts too. */
  tokens: number;
  total_tokens: number;
  /** Of this attempt; null before its first batch. */
  tokens_per_second: number | null;
}

export interface Captured {
  /** In the order of the hook points. */
  manifests: CapturedManifest[];
  /** Null where this attempt captured nothing. */
  tokens_per_second: number | null;
}

const saveEveryMs = 1_000;
const fileBytes = 256 * 2 ** 20;
const largestHalf = 65_504;
const numberBytes = { float16: 2, float32: 4 } as const;

/**
 * Runs a model over all tokens and keeps every row of every hook point. Sets appear once they are whole. An attempt that
 * was cut, however it was, is taken up by the next one from where it stood, and comes to the same files.
 * @throws ActivationSetError where nothing is left to train on, and for an activation that a half cannot hold;
 * StorageError; what the model throws; the reason of `signal`
 */
export async function captureActivations(capture: Capture): Promise<Captured> {
  const parent = path.dirname(capture.sets[0]!.folder);
  try {
    await mkdir(parent, { recursive: true });
    return await captured(capture, sequencesOfFile(capture));
  } catch (error) {
    throw storageError(parent, error);
  }
}

/** @param fileSequences Of a file of rows. */
async function captured(capture: Capture, fileSequences: number): Promise<Captured> {
  const { sets, tokens, signal } = capture;
  signal.throwIfAborted();
  const excluded = new Set(capture.excluded_token_ids);
  const identities = sets.map(({ hook }) => identityOf(capture, hook));
  const published = await publishedOf(sets, identities);
  if (published.every((one) => one !== null)) return { manifests: published, tokens_per_second: null };

  const text = await countText(tokens, tokens.manifest.held_out_sequences, excluded);
  if (text.training === 0) {
    throw new ActivationSetError(
      "No token is left to train on: all are special, padding, excluded or held out. Exclude fewer, or tokenize more text.",
    );
  }
  const folders = sets.map(({ folder }) => workingFolder(folder));
  const identity = identityHash({ identities, fileSequences });
  const state = await readState(
    folders,
    identity,
    published.map((one) => one !== null),
  );
  if (state === null && published.some((one) => one !== null)) {
    return rest(capture, fileSequences, published);
  }
  if (state === null) for (const folder of folders) await emptyFolder(folder);
  const left = identities.reduce((sum, one) => sum + rowBytes(one) * tokens.length * tokens.n_sequences, 0);
  const done = state?.sets.reduce((sum, set) => sum + written(set), 0) ?? 0;
  await checkSpace(path.dirname(sets[0]!.folder), left - done);

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
    const first = state?.sequences ?? 0;
    const rate =
      first < tokens.n_sequences ? await run(capture, open, { first, excluded, folders, identity }) : null;
    // The state stands in the first one's folder, so that one comes last.
    const manifests = [...published];
    for (let index = sets.length - 1; index >= 0; index--) {
      signal.throwIfAborted();
      const set = working[index];
      if (!set) continue;
      manifests[index] = await set.publish(text.held_out, (folder) =>
        writeSideFiles(folder, tokens, excluded),
      );
    }
    return { manifests: manifests.map((one) => one!), tokens_per_second: rate };
  } finally {
    for (const set of working) await set?.close();
  }
}

/** Where some sets stand and nothing says how far the others are: those are captured by themselves. */
async function rest(
  capture: Capture,
  fileSequences: number,
  published: readonly (CapturedManifest | null)[],
): Promise<Captured> {
  const sets = capture.sets.filter((_, index) => published[index] === null);
  const { manifests, tokens_per_second } = await captured({ ...capture, sets }, fileSequences);
  const made = manifests.values();
  return { manifests: published.map((one) => one ?? made.next().value!), tokens_per_second };
}

interface Progressing {
  /** Sequence to go on from. */
  first: number;
  excluded: ReadonlySet<number>;
  folders: readonly string[];
  identity: string;
}

/** Captures the sequences from `first` on; the next batch is under way while one is written. Returns tokens a second. */
async function run(
  capture: Capture,
  working: readonly WorkingSet[],
  { first, excluded, folders, identity }: Progressing,
): Promise<number> {
  const { gpu, model, tokens, sets, dtype, signal } = capture;
  const { n_sequences, length } = tokens;
  const hooks = sets.map(({ hook }) => hook);
  const together =
    capture.batch_size === null
      ? sequencesTogether(gpu, { spec: model.spec, hooks, n_sequences, length })
      : Math.min(capture.batch_size, n_sequences);
  const opened = await loadModel(model, { gpu, hooks, n_sequences: together, length }, signal);
  const forward = async (from: number) => {
    const count = Math.min(together, n_sequences - from);
    const ids = await tokens.read(from, count);
    const mask = maskOf(ids, await tokens.kinds(from, count), excluded);
    return { count, mask, activations: await opened.forward(ids) };
  };
  const began = performance.now();
  let savedAt = began;
  try {
    let next = forward(first);
    for (let at = first; at < n_sequences; ) {
      const { count, mask, activations } = await next;
      signal.throwIfAborted();
      if (at + count < n_sequences) {
        next = forward(at + count);
        // It is awaited in the next turn; until then its failure is no unhandled one.
        next.catch(() => undefined);
      }
      for (const [index, set] of working.entries()) {
        const hook = hooks[index]!;
        const values = activations.get(hook)!;
        await set.append(
          values,
          storedBytes(values, dtype, { hook, first: at, tokens: mask.length, length }),
          mask,
        );
      }
      at += count;
      const now = performance.now();
      if (at === n_sequences || now - savedAt >= (capture.save_every_ms ?? saveEveryMs)) {
        const states = [];
        for (const set of working) states.push(await set.synced());
        await writeState(folders, { identity, sequences: at, sets: states });
        savedAt = performance.now();
      }
      capture.onProgress({
        tokens: at * length,
        total_tokens: n_sequences * length,
        tokens_per_second: rateOf((at - first) * length, began),
      });
    }
    return rateOf((n_sequences - first) * length, began);
  } finally {
    opened.close();
  }
}

function rateOf(tokens: number, began: number): number {
  return (1_000 * tokens) / Math.max(1, performance.now() - began);
}

interface Place {
  hook: string;
  /** Sequence of the first token. */
  first: number;
  tokens: number;
  /** Tokens of a sequence. */
  length: number;
}

/** Throws `ActivationSetError` for a number that a half cannot hold. */
function storedBytes(
  values: Float32Array<ArrayBuffer>,
  dtype: CaptureDtype,
  { hook, first, tokens, length }: Place,
): Uint8Array {
  if (dtype === "float32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const large = values.findIndex((value) => Math.abs(value) > largestHalf);
  if (large >= 0) {
    const token = Math.floor(large / (values.length / tokens));
    throw new ActivationSetError(
      `${hook} is ${values[large]} at token ${token % length} of sequence ${first + Math.floor(token / length)}, and float16 ends at ${largestHalf}. Capture it as float32.`,
    );
  }
  return new Uint8Array(float16Bits(values).buffer);
}

function identityOf(
  { model, tokens, dtype, excluded_token_ids, model_name, model_sha256, dataset_name }: Capture,
  hook: string,
): SetIdentity {
  return {
    d_in: requireHookPoint(model.spec, hook).width,
    dtype,
    n_sequences: tokens.n_sequences,
    length: tokens.length,
    held_out_sequences: tokens.manifest.held_out_sequences,
    hook_name: hook,
    model_name,
    dataset_name,
    model_sha256,
    tokens_hash: tokens.manifest.hash,
    excluded_token_ids: [...new Set(excluded_token_ids)].sort((a, b) => a - b),
  };
}

function rowBytes({ d_in, dtype }: SetIdentity): number {
  return d_in * numberBytes[dtype];
}

function written({ finished, bytes }: { finished: readonly { bytes: number }[]; bytes: number }): number {
  return finished.reduce((sum, file) => sum + file.bytes, bytes);
}

function sequencesOfFile(capture: Capture): number {
  const { sets, tokens, file_bytes = fileBytes } = capture;
  const widest = Math.max(...sets.map(({ hook }) => rowBytes(identityOf(capture, hook))));
  return Math.max(1, Math.floor(file_bytes / (widest * tokens.length)));
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
    await rm(path.join(folder, stateFile), { force: true });
    const set = await openActivationSet(folder);
    await set.close();
    const { manifest } = set;
    if (manifest.format_version !== 2 || !isOf(manifest, identities[index]!)) {
      throw new ActivationSetError(`${folder} holds another set already; name another folder.`);
    }
    found.push(manifest);
  }
  return found;
}

function isOf(manifest: CapturedManifest, identity: SetIdentity): boolean {
  return Object.entries(identity).every(
    ([key, value]) => JSON.stringify(manifest[key as keyof SetIdentity]) === JSON.stringify(value),
  );
}
