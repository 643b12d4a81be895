import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import { folderHash, syncFolder, type WrittenFile } from "../artifacts/atomic-folder.ts";
import { type CapturedManifest, captureMask, manifestFile } from "../artifacts/captured-manifest.ts";
import { type SetState, stateFile } from "./capture-state.ts";
import { RowFiles } from "./row-files.ts";
import { RowStatistics } from "./row-statistics.ts";

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
  | "model_sha256"
  | "tokens_hash"
  | "excluded_token_ids"
>;

/** One hook point's set while it is being captured. */
export class WorkingSet {
  readonly #identity: SetIdentity;
  readonly #folder: string;
  readonly #fileSequences: number;
  readonly #files: RowFiles;
  readonly #statistics: RowStatistics;
  #sequences: number;

  private constructor(
    folder: string,
    identity: SetIdentity,
    fileSequences: number,
    from: { files: RowFiles; statistics: RowStatistics; sequences: number },
  ) {
    this.#folder = folder;
    this.#identity = identity;
    this.#fileSequences = fileSequences;
    this.#files = from.files;
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
    const { finished, bytes, sums } = state?.set ?? { finished: [], bytes: 0, sums: null };
    return new WorkingSet(folder, identity, fileSequences, {
      files: await RowFiles.open(workingFolder(folder), finished, bytes),
      statistics: new RowStatistics(identity.d_in, sums),
      sequences: state?.sequences ?? 0,
    });
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
    await this.#files.sync();
    return { finished: [...this.#files.finished], bytes: this.#files.bytes, sums: this.#statistics.sums };
  }

  /** Writes what the set says of itself, and gives the folder its name. */
  async publish(
    heldOutTokens: number,
    writeSides: (folder: string) => Promise<Record<"mask" | "ids" | "documents", WrittenFile>>,
  ): Promise<CapturedManifest> {
    const working = workingFolder(this.#folder);
    await this.#files.finish();
    const { mask, ids, documents } = await writeSides(working);
    const files = [...this.#files.finished, mask, ids, documents];
    const { n_sequences } = this.#identity;
    const manifest: CapturedManifest = {
      format_version: 2,
      ...this.#identity,
      n_tokens: this.#statistics.sums.rows,
      held_out_tokens: heldOutTokens,
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
    await rm(path.join(this.#folder, stateFile), { force: true });
    return manifest;
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}

function stored({ name, bytes, sha256 }: WrittenFile) {
  return { file: name, bytes, sha256 };
}
