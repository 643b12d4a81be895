import { parentPort, workerData } from "node:worker_threads";
import { DatasetError } from "./dataset-error.ts";
import type { ParquetAnswer, ParquetTask } from "./parquet.ts";
import { parquetFailure, parquetRows } from "./parquet-rows.ts";

/** The program of the thread that reads one Parquet file: a batch for every message. */

const { file, shownAs, textColumn } = (workerData as { task: ParquetTask }).task;
const batches = parquetRows(file, shownAs, textColumn);
const answer = (message: ParquetAnswer) => parentPort?.postMessage(message);

const fail = (error: unknown) => {
  const failure = parquetFailure(shownAs, error);
  const message = failure instanceof Error ? failure.message : String(failure);
  answer({ type: "failed", told: failure instanceof DatasetError, message });
};

// hyparquet reads columns side by side; where one fails, nobody waits for the others.
process.on("unhandledRejection", fail);

parentPort?.on("message", async () => {
  try {
    const { value, done } = await batches.next();
    answer(done === true ? { type: "end" } : { type: "batch", batch: value });
  } catch (error) {
    fail(error);
  }
});
