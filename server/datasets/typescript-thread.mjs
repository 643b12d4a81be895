import { workerData } from "node:worker_threads";
import { register } from "tsx/esm/api";

// A thread does not take over what its process reads TypeScript with.
register();
await import(workerData.program);
