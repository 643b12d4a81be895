import path from "node:path";
import { pathToFileURL } from "node:url";
import { type ResourceLimits, Worker } from "node:worker_threads";
import { sourceRoot } from "../source-root.ts";

// The bundler would otherwise follow it into the thread's program, which Node is to load by itself.
const start = path.join(/*turbopackIgnore: true*/ sourceRoot, "server/datasets/typescript-thread.mjs");

/** Starts a thread of this process that runs a program of ours; its `workerData` has `task`. */
export function startThread(program: string, task: unknown, resourceLimits?: ResourceLimits): Worker {
  return new Worker(/*turbopackIgnore: true*/ start, {
    execArgv: [],
    workerData: { program: pathToFileURL(program).href, task },
    ...(resourceLimits === undefined ? {} : { resourceLimits }),
  });
}
