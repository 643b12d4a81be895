import { bufferUsage, mapMode } from "./constants.ts";
import { type Dispatch, encodeDispatches } from "./dispatch.ts";
import type { Gpu } from "./gpu.ts";

/**
 * How a time was taken. "timestamps": by the GPU, at the start and the end of the dispatch's own pass.
 * "wall-clock": by the CPU, from submit to completion, so it includes the round trip to the driver.
 */
export type Clock = "timestamps" | "wall-clock";

/** All calls of one label within one run of the list. */
export interface ProfiledLabel {
  label: string;
  /** Dispatches with this label in the list. */
  calls: number;
  /** Nanoseconds of all of them together, one figure per repetition. */
  ns: number[];
  /** Bytes and operations of all of them together, once through the list. */
  bytes: number;
  flops: number;
  /** The GPU itself decides how many workgroups run, perhaps none: bytes and flops are those of a full grid. */
  indirect: boolean;
}

export interface Profile {
  clock: Clock;
  /** In the order in which labels first appear. */
  labels: ProfiledLabel[];
}

/** Queries in one set; WebGPU allows 4096. */
const maxQueries = 4096;

export interface ProfileOptions {
  /** How often the list is run; default 1. */
  repetitions?: number;
  /** Encodes what must precede each run of the list, such as clearing counters. Not timed. */
  before?: (encoder: GPUCommandEncoder) => void | Promise<void>;
}

/**
 * Runs the dispatches in order, each in a pass of its own, and times every one. The passes keep neighbours from
 * overlapping, so the sum is an upper bound of what the same list takes within one pass. State changes with every
 * repetition, as in training. Nothing is warmed up here: run the list once before.
 */
export async function profile(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  { repetitions = 1, before }: ProfileOptions = {},
): Promise<Profile> {
  const clock: Clock = gpu.capabilities.timestamps ? "timestamps" : "wall-clock";
  const time = clock === "timestamps" ? timeByGpu : timeByCpu;
  const labels = new Map<string, ProfiledLabel>();
  for (let repetition = 0; repetition < repetitions; repetition++) {
    if (before !== undefined) {
      const encoder = gpu.device.createCommandEncoder({ label: "profiler" });
      await before(encoder);
      gpu.device.queue.submit([encoder.finish()]);
    }
    const durations = await time(gpu, dispatches);
    for (const [index, { label, bytes, flops, grid }] of dispatches.entries()) {
      let row = labels.get(label);
      if (row === undefined) {
        const ns = new Array<number>(repetitions).fill(0);
        row = { label, calls: 0, ns, bytes: 0, flops: 0, indirect: "indirect" in grid };
        labels.set(label, row);
      }
      row.ns[repetition] = row.ns[repetition]! + durations[index]!;
      if (repetition === 0) {
        row.calls += 1;
        row.bytes += bytes;
        row.flops += flops;
      }
    }
  }
  return { clock, labels: [...labels.values()] };
}

/** Nanoseconds of each dispatch by timestamp queries. */
async function timeByGpu(gpu: Gpu, dispatches: readonly Dispatch[]): Promise<number[]> {
  const durations: number[] = [];
  for (let from = 0; from < dispatches.length; from += maxQueries / 2) {
    durations.push(...(await timeChunk(gpu, dispatches.slice(from, from + maxQueries / 2))));
  }
  return durations;
}

async function timeChunk(gpu: Gpu, dispatches: readonly Dispatch[]): Promise<number[]> {
  const { device, ledger } = gpu;
  const count = dispatches.length * 2;
  const bytes = count * 8;
  const querySet = device.createQuerySet({ label: "profiler", type: "timestamp", count });
  const resolved = ledger.allocate("profiler", bytes, bufferUsage.QUERY_RESOLVE | bufferUsage.COPY_SRC);
  const staging = ledger.allocate("profiler readback", bytes, bufferUsage.MAP_READ | bufferUsage.COPY_DST);
  try {
    const encoder = device.createCommandEncoder({ label: "profiler" });
    for (const [index, dispatch] of dispatches.entries()) {
      const pass = encoder.beginComputePass({
        label: dispatch.label,
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: index * 2,
          endOfPassWriteIndex: index * 2 + 1,
        },
      });
      encodeDispatches(pass, [dispatch]);
      pass.end();
    }
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(mapMode.READ);
    const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.unmap();
    return dispatches.map((_, index) => Number(stamps[index * 2 + 1]! - stamps[index * 2]!));
  } finally {
    ledger.free(resolved);
    ledger.free(staging);
    querySet.destroy();
  }
}

/** Nanoseconds of each dispatch from its own submit until the queue is done. */
async function timeByCpu(gpu: Gpu, dispatches: readonly Dispatch[]): Promise<number[]> {
  const { device } = gpu;
  const durations: number[] = [];
  await device.queue.onSubmittedWorkDone();
  for (const dispatch of dispatches) {
    const encoder = device.createCommandEncoder({ label: dispatch.label });
    const pass = encoder.beginComputePass({ label: dispatch.label });
    encodeDispatches(pass, [dispatch]);
    pass.end();
    const commands = encoder.finish();
    const start = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    durations.push((performance.now() - start) * 1e6);
  }
  return durations;
}
