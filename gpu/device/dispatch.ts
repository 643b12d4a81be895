/** One kernel call as planned: bound once, encoded every step. */
export interface Dispatch {
  /** Kernel and role, e.g. "encode" or "aux/decode"; the profiler's row name. */
  label: string;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  grid: readonly [number, number, number] | { indirect: GPUBuffer; offset: number };
  /** Bytes the algorithm must move and operations it must do, for one call. */
  bytes: number;
  flops: number;
}

/** Encodes dispatches into one compute pass. */
export function encodeDispatches(pass: GPUComputePassEncoder, dispatches: readonly Dispatch[]): void {
  for (const { pipeline, bindGroup, grid } of dispatches) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    if ("indirect" in grid) pass.dispatchWorkgroupsIndirect(grid.indirect, grid.offset);
    else pass.dispatchWorkgroups(...grid);
  }
}
