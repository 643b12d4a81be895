import { parentPort, workerData } from "node:worker_threads";
import type { WorkerSetup } from "./gradient-workers.ts";
import { Transformer } from "./transformer.ts";

const { shape, sequences, parameters, gradients } = workerData as WorkerSetup;
const transformer = new Transformer(shape, sequences);

parentPort!.on("message", (tokens: Uint32Array) => {
  transformer.parameters.set(new Float32Array(parameters));
  const loss = transformer.lossAndGradients(tokens);
  new Float32Array(gradients).set(transformer.gradients);
  parentPort!.postMessage(loss);
});
