import type { Gpu } from "../device/gpu.ts";

/** Training batches, or batches for evaluation that do not disturb the training order. */
export type BatchStream = "training" | "evaluation";

/**
 * Where activations come from. A batch is a pure function of (source, stream, batch number, rows), so a resumed
 * run needs no more than its step number to see the very rows it would have seen.
 */
export interface ActivationSource {
  readonly d_in: number;
  /** Rows in the source; null where every batch is fresh. */
  readonly n_tokens: number | null;
  /** Bytes of GPU memory that `open` will take from the ledger. */
  gpuBytes(maxRows: number): number;
  open(gpu: Gpu, maxRows: number): Promise<OpenSource>;
}

export interface OpenSource {
  /** Host-side read-ahead: await before `encodeBatch` of the same number. Cheap when already there. */
  ready(stream: BatchStream, batch: number, rows: number): Promise<void>;
  /**
   * Puts raw (unscaled) rows into `target`, f32 [rows, d_in], by dispatches in `encoder` and/or queue.writeBuffer.
   * The caller submits `encoder` before the next call.
   */
  encodeBatch(
    encoder: GPUCommandEncoder,
    target: GPUBuffer,
    stream: BatchStream,
    batch: number,
    rows: number,
  ): void;
  close(): void;
}
