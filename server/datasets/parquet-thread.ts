import { parentPort, workerData } from "node:worker_threads";
import { DatasetError } from "./dataset-error.ts";
import type { ParquetAnswer, ParquetTask } from "./parquet.ts";
import { parquetRows } from "./parquet-rows.ts";

/** The program of the thread that reads one Parquet file: a batch for every message. */

const { file, shownAs, textColumn } = (workerData as { task: ParquetTask }).task;
const batches = parquetRows(file, shownAs, textColumn);
const answer = (message: ParquetAnswer) => parentPort?.postMessage(message);

parentPort?.on("message", async () => {
  try {
    const { value, done } = await batches.next();
    answer(done === true ? { type: "end" } : { type: "batch", batch: value });
  } catch (error) {
    const told = error instanceof DatasetError;
    answer({ type: "failed", told, message: error instanceof Error ? error.message : String(error) });
  }
});
