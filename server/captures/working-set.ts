import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { ActivationSetError } from "../artifacts/activation-tensor.ts";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import { folderHash, syncFolder, type WrittenFile } from "../artifacts/atomic-folder.ts";
import {
  type CapturedManifest,
  captureMask,
  manifestFile,
  maskFile,
} from "../artifacts/captured-manifest.ts";
import { openFile } from "../artifacts/file-source.ts";
import { breakingOf, lockFile } from "./capture-lock.ts";
import { type SetState, stateFile, subjectFile } from "./capture-state.ts";
import { GrowingFile } from "./growing-file.ts";
import { RowFiles } from "./row-files.ts";
import { RowStatistics } from "./row-statistics.ts";
import { MaskCounts } from "./set-files.ts";

/** Folder in which a set is put together, beside its place. */
export function workingFolder(folder: string): string {
  return `${folder}.capture`;
}

/** What a set is of. */
export type SetIdentity = Pick<
  CapturedManifest,
  | "d_in"
  | "dtype"
  | "n_sequences"
  | "length"
  | "held_out_sequences"
  | "hook_name"
  | "model_name"
  | "dataset_name"
  | "dataset_sha256"
  | "model_sha256"
  | "tokens_hash"
  | "precision"
  | "excluded_token_ids"
  | "outlier_norm"
  | "outlier_hooks"
>;

/** Of the mask, read at once where it is counted. */
const maskPieceBytes = 4 * 2 ** 20;

/** One hook point's set while it is being captured. */
export class WorkingSet {
  readonly #identity: SetIdentity;
  readonly #folder: string;
  readonly #fileSequences: number;
  readonly #files: RowFiles;
  #mask: GrowingFile | null;
  readonly #statistics: RowStatistics;
  #sequences: number;

  private constructor(
    folder: string,
    identity: SetIdentity,
    fileSequences: number,
    from: { files: RowFiles; mask: GrowingFile; statistics: RowStatistics; sequences: number },
  ) {
    this.#folder = folder;
    this.#identity = identity;
    this.#fileSequences = fileSequences;
    this.#files = from.files;
    this.#mask = from.mask;
    this.#statistics = from.statistics;
    this.#sequences = from.sequences;
  }

  /** @param state What stands already, of so many sequences; null to begin in the empty working folder. */
  static async open(
    folder: string,
    identity: SetIdentity,
    fileSequences: number,
    state: { set: SetState; sequences: number } | null,
  ): Promise<WorkingSet> {
    const working = workingFolder(folder);
    const { finished, open, sums } = state?.set ?? { finished: [], open: null, sums: null };
    const files = await RowFiles.open(working, finished, open);
    try {
      const mask =
        state === null
          ? await GrowingFile.begin(working, maskFile)
          : await GrowingFile.takeUp(working, maskFile, state.set.mask);
      const statistics = new RowStatistics(identity.d_in, sums);
      const sequences = state?.sequences ?? 0;
      return new WorkingSet(folder, identity, fileSequences, { files, mask, statistics, sequences });
    } catch (error) {
      await files.close();
      throw error;
    }
  }

  /**
   * Rows of whole sequences that follow those before, [n · length, d_in].
   * @param stored The same as they are stored.
   * @param mask Of their tokens.
   */
  async append(values: Float32Array, stored: Uint8Array, mask: Uint8Array): Promise<void> {
    const { length, n_sequences, held_out_sequences } = this.#identity;
    const trained = (n_sequences - held_out_sequences - this.#sequences) * length;
    for (let token = 0; token < Math.min(mask.length, trained); token++) {
      if (mask[token] === captureMask.text) this.#statistics.add(values, token);
    }
    await this.#openMask().append(mask);
    const sequenceBytes = stored.byteLength / (mask.length / length);
    for (let at = 0; at < stored.byteLength; ) {
      const room = this.#fileSequences - (this.#sequences % this.#fileSequences);
      const part = stored.subarray(at, at + room * sequenceBytes);
      await this.#files.append(part);
      this.#sequences += part.byteLength / sequenceBytes;
      at += part.byteLength;
      if (this.#sequences % this.#fileSequences === 0) await this.#files.finish();
    }
  }

  /** What was written stands for sure after this. */
  async synced(): Promise<SetState> {
    const open = await this.#files.synced();
    const mask = await this.#openMask().synced();
    return { finished: [...this.#files.finished], open, mask, sums: this.#statistics.sums };
  }

  /**
   * Writes what the set says of itself, and gives the folder its name.
   * @throws ActivationSetError where no row is left to train on
   */
  async publish(
    outlier_threshold: number | null,
    writeSides: (folder: string) => Promise<Record<"ids" | "documents", WrittenFile>>,
  ): Promise<CapturedManifest> {
    const working = workingFolder(this.#folder);
    await this.#files.finish();
    const mask = await this.#openMask().finish();
    this.#mask = null;
    const { ids, documents } = await writeSides(working);
    const files = [...this.#files.finished, mask, ids, documents];
    const { n_sequences } = this.#identity;
    const counts = await this.#counts(path.join(working, maskFile));
    if (counts.training === 0) {
      throw new ActivationSetError(
        "No row is left to train on: all are outliers. Set a larger outlier norm.",
      );
    }
    const manifest: CapturedManifest = {
      format_version: 2,
      ...this.#identity,
      outlier_threshold,
      n_tokens: counts.training,
      held_out_tokens: counts.held_out,
      mask_counts: counts.all,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      sha256: folderHash(files),
      ...this.#statistics.summary(),
      shards: this.#files.finished.map((file, shard) => ({
        ...stored(file),
        first_sequence: shard * this.#fileSequences,
        n_sequences: Math.min(this.#fileSequences, n_sequences - shard * this.#fileSequences),
      })),
      mask: stored(mask),
      ids: stored(ids),
      documents: stored(documents),
    };
    await writeWholeFile(path.join(working, manifestFile), async (file) => {
      await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
    });
    await syncFolder(working);
    await rename(working, this.#folder);
    await syncFolder(path.dirname(this.#folder));
    // Not before: until now it says how far the capture is.
    await removeTraces(this.#folder);
    return manifest;
  }

  async close(): Promise<void> {
    await this.#files.close();
    await this.#mask?.close();
    this.#mask = null;
  }

  #openMask(): GrowingFile {
    if (this.#mask === null) throw new Error(`The set ${this.#folder} is closed.`);
    return this.#mask;
  }

  async #counts(file: string): Promise<MaskCounts> {
    const { n_sequences, held_out_sequences, length } = this.#identity;
    const counts = new MaskCounts((n_sequences - held_out_sequences) * length);
    const source = await openFile(file);
    try {
      for (let at = 0; at < source.size; at += maskPieceBytes) {
        counts.add(await source.read(at, Math.min(maskPieceBytes, source.size - at)));
      }
    } finally {
      await source.close();
    }
    return counts;
  }
}

/** What a set needs no more once it has its name. */
export async function removeTraces(folder: string): Promise<void> {
  for (const name of [stateFile, subjectFile, lockFile, breakingOf(lockFile)]) {
    await rm(path.join(folder, name), { force: true });
  }
}

function stored({ name, bytes, sha256 }: WrittenFile) {
  return { file: name, bytes, sha256 };
}
