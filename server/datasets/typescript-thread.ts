import { type ResourceLimits, Worker } from "node:worker_threads";

/** Starts a thread of this process that runs a program of ours, as it stands. */
export function startThread(program: string, workerData: unknown, resourceLimits?: ResourceLimits): Worker {
  return new Worker(program, {
    execArgv: ["--import", "tsx"],
    workerData,
    ...(resourceLimits === undefined ? {} : { resourceLimits }),
  });
}
