/**
 * A bind group for group 0 of a pipeline with layout "auto": buffer i at `@binding(i)`, all of it or the given slice;
 * null leaves the place out. Every binding must be used by the entry point, for unused ones are not in such a layout.
 */
export function bind(
  device: GPUDevice,
  pipeline: GPUComputePipeline,
  buffers: readonly (GPUBuffer | GPUBufferBinding | null)[],
): GPUBindGroup {
  return device.createBindGroup({
    label: pipeline.label,
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.flatMap((buffer, binding) =>
      buffer === null ? [] : [{ binding, resource: "buffer" in buffer ? buffer : { buffer } }],
    ),
  });
}
