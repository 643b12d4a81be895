import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { parameterCount, type Shape } from "./shape.ts";

/** What a worker is started with. */
export interface WorkerSetup {
  shape: Shape;
  sequences: number;
  /** Float32, `parametersOf`; the one is shared by all workers, the other is each one's own. */
  parameters: SharedArrayBuffer;
  gradients: SharedArrayBuffer;
}

/** Shares a batch among threads. Their gradients are added in one order, so that the sum is always the same. */
export class GradientWorkers {
  /** To be changed between batches. */
  readonly parameters: Float32Array<SharedArrayBuffer>;
  readonly #workers: { worker: Worker; gradients: Float32Array<SharedArrayBuffer> }[];
  readonly #sum: Float32Array<ArrayBuffer>;

  /** @param sequences of a batch for each thread */
  constructor(shape: Shape, threads: number, sequences: number) {
    const count = parameterCount(shape);
    const parameters = new SharedArrayBuffer(4 * count);
    this.parameters = new Float32Array(parameters);
    this.#sum = new Float32Array(count);
    this.#workers = Array.from({ length: threads }, () => {
      const gradients = new SharedArrayBuffer(4 * count);
      const workerData: WorkerSetup = { shape, sequences, parameters, gradients };
      const worker = new Worker(new URL("./start-worker.mjs", import.meta.url), { workerData });
      return { worker, gradients: new Float32Array(gradients) };
    });
  }

  /** Mean loss and gradients of a batch, [sequences, n_ctx] for each thread. */
  async lossAndGradients(tokens: Uint32Array): Promise<{ loss: number; gradients: Float32Array }> {
    const each = tokens.length / this.#workers.length;
    const losses = await Promise.all(
      this.#workers.map(async ({ worker }, index) => {
        worker.postMessage(tokens.slice(index * each, (index + 1) * each));
        return (await once(worker, "message"))[0] as number;
      }),
    );
    const share = 1 / this.#workers.length;
    this.#sum.fill(0);
    for (const { gradients } of this.#workers) {
      for (let i = 0; i < this.#sum.length; i++) this.#sum[i]! += share * gradients[i]!;
    }
    return { loss: share * losses.reduce((sum, loss) => sum + loss, 0), gradients: this.#sum };
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(({ worker }) => worker.terminate()));
  }
}
