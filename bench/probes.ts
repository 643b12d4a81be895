import { bind } from "../gpu/device/bind.ts";
import { bufferUsage } from "../gpu/device/constants.ts";
import type { Dispatch } from "../gpu/device/dispatch.ts";
import type { Gpu } from "../gpu/device/gpu.ts";
import { profile } from "../gpu/device/profiler.ts";

/** Chains per invocation in probe_fma.wgsl, in floats. */
const fmaLanes = 8 * 4;
const fmaIterations = 1024;
const invocationsPerGroup = 64;
/** What a workgroup of probe_copy.wgsl moves at a time. */
const copyBlockBytes = 4096;

/** What the two probes measured, one figure per repetition. */
export interface RoofSamples {
  /** Bytes read plus bytes written, per second. */
  copy_bytes_per_second: number[];
  /** Two operations a multiply-add, f32, per second. */
  fma_flops_per_second: number[];
}

/**
 * The adapter's own roofs: plain copying between two large buffers, and multiply-adds in registers. A kernel that
 * works from a cache can exceed the copy roof.
 */
export async function measureRoofs(gpu: Gpu, repetitions: number, quick: boolean): Promise<RoofSamples> {
  return {
    copy_bytes_per_second: await measureCopy(gpu, repetitions, quick),
    fma_flops_per_second: await measureFma(gpu, repetitions, quick),
  };
}

/** Larger than the caches of the processors at hand, within what one binding and the budget allow. */
function copyBytes({ capabilities, ledger }: Gpu, quick: boolean): number {
  const wanted = (quick ? 8 : capabilities.software ? 64 : 256) * 2 ** 20;
  const room = Math.min(
    capabilities.limits.max_storage_buffer_binding_size,
    (ledger.budget - ledger.used) / 4,
  );
  return Math.floor(Math.min(wanted, room) / copyBlockBytes) * copyBlockBytes;
}

async function measureCopy(gpu: Gpu, repetitions: number, quick: boolean): Promise<number[]> {
  const bytes = copyBytes(gpu, quick);
  const { STORAGE, COPY_DST } = bufferUsage;
  const from = gpu.ledger.allocate("probe from", bytes, STORAGE | COPY_DST);
  const to = gpu.ledger.allocate("probe to", bytes, STORAGE);
  try {
    const pipeline = await gpu.pipelines.compute({ shader: "probe_copy" });
    const groups = Math.min(16_384, bytes / copyBlockBytes);
    const dispatch: Dispatch = {
      label: "copy",
      pipeline,
      bindGroup: bind(gpu.device, pipeline, [from, to]),
      grid: [groups, 1, 1],
      bytes: 2 * bytes,
      flops: 0,
    };
    return (await time(gpu, dispatch, repetitions)).map((seconds) => dispatch.bytes / seconds);
  } finally {
    gpu.ledger.free(from);
    gpu.ledger.free(to);
  }
}

async function measureFma(gpu: Gpu, repetitions: number, quick: boolean): Promise<number[]> {
  const most = gpu.capabilities.limits.max_compute_workgroups_per_dimension;
  const { STORAGE, COPY_DST } = bufferUsage;
  const operands = gpu.ledger.allocate("probe operands", 3 * 16, STORAGE | COPY_DST);
  const sums = gpu.ledger.allocate("probe sums", most * invocationsPerGroup * 16, STORAGE);
  try {
    // Chains that neither grow nor die: s ← 0.999 s + 0.001.
    const values = [0.999, 0.001, 0.5].flatMap((value) => [value, value, value, value]);
    gpu.device.queue.writeBuffer(operands, 0, new Float32Array(values));
    const pipeline = await gpu.pipelines.compute({
      shader: "probe_fma",
      constants: { ITERATIONS: fmaIterations },
    });
    const bindGroup = bind(gpu.device, pipeline, [operands, sums]);
    const ofSize = (groups: number): Dispatch => ({
      label: "fma",
      pipeline,
      bindGroup,
      grid: [groups, 1, 1],
      bytes: 0,
      flops: 2 * fmaIterations * fmaLanes * invocationsPerGroup * groups,
    });
    const enough = quick ? 0.005 : 0.05;
    let groups = 64;
    for (;;) {
      const [, seconds = 0] = await time(gpu, ofSize(groups), 2);
      if (seconds >= enough || groups * 2 > most) break;
      groups *= 2;
    }
    const dispatch = ofSize(groups);
    return (await time(gpu, dispatch, repetitions)).map((seconds) => dispatch.flops / seconds);
  } finally {
    gpu.ledger.free(operands);
    gpu.ledger.free(sums);
  }
}

/** Seconds of each repetition, after one that warms up. */
async function time(gpu: Gpu, dispatch: Dispatch, repetitions: number): Promise<number[]> {
  await profile(gpu, [dispatch]);
  const { labels } = await profile(gpu, [dispatch], { repetitions });
  return labels.flatMap(({ ns }) => ns.map((value) => value / 1e9));
}
