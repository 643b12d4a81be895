import path from "node:path";
import { pathToFileURL } from "node:url";
import { type ResourceLimits, Worker } from "node:worker_threads";

const start = path.resolve(import.meta.dirname, "typescript-thread.mjs");

/** Starts a thread of this process that runs a program of ours; its `workerData` has `task`. */
export function startThread(program: string, task: unknown, resourceLimits?: ResourceLimits): Worker {
  return new Worker(start, {
    execArgv: [],
    workerData: { program: pathToFileURL(program).href, task },
    ...(resourceLimits === undefined ? {} : { resourceLimits }),
  });
}
