import { once } from "node:events";
import path from "node:path";
import { sourceRoot } from "../source-root.ts";
import { DatasetError } from "./dataset-error.ts";
import type { ParquetBatch } from "./parquet-rows.ts";
import type { RawDocument } from "./raw-document.ts";
import { startThread } from "./typescript-thread.ts";

export interface ParquetTask {
  file: string;
  shownAs: string;
  textColumn: string | null;
}

export type ParquetAnswer =
  | { type: "batch"; batch: ParquetBatch }
  | { type: "end" }
  | { type: "failed"; told: boolean; message: string };

const program = path.join(/*turbopackIgnore: true*/ sourceRoot, "server/datasets/parquet-thread.ts");
/** A row group's texts, twice over: as they were read and as they are sent. */
const memory = { maxOldGenerationSizeMb: 2_048 };

/**
 * Documents of a Parquet file, read in a thread of its own: a file that lies about itself ends the thread and nothing
 * else, and one that keeps it busy for ever can be called off.
 * @param onShare The share of the file's rows that were read, 0 to 1.
 * @throws DatasetError, and the reason of `signal`
 */
export async function* parquetDocuments(
  task: ParquetTask,
  signal: AbortSignal,
  onShare: (share: number) => void,
): AsyncGenerator<RawDocument> {
  signal.throwIfAborted();
  const thread = startThread(program, task, memory);
  try {
    for (;;) {
      thread.postMessage("next");
      const answer = await answered(thread, signal, task.shownAs);
      if (answer.type === "end") return;
      if (answer.type === "failed") {
        throw answer.told ? new DatasetError(answer.message) : new Error(answer.message);
      }
      yield* answer.batch.documents;
      onShare(answer.batch.rows / answer.batch.totalRows);
    }
  } finally {
    await thread.terminate();
  }
}

async function answered(
  thread: ReturnType<typeof startThread>,
  signal: AbortSignal,
  shownAs: string,
): Promise<ParquetAnswer> {
  try {
    const [answer] = (await once(thread, "message", { signal })) as [ParquetAnswer];
    return answer;
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ERR_WORKER_OUT_OF_MEMORY") throw error;
    throw new DatasetError(
      `${shownAs} takes more than ${memory.maxOldGenerationSizeMb} MiB of memory to read: it is damaged, or its row groups are too large. Write it anew with smaller ones.`,
      error,
    );
  }
}
