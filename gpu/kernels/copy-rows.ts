import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { flatLanes, spread } from "./grid.ts";
import { packWords } from "./uniforms.ts";

/** Bytes of the kernel's uniform. */
export const copyRowsUniformBytes = 48;

export interface CopyRowsShape {
  /** Most rows of a call. */
  rows: number;
  /** Numbers of a row that are copied. */
  width: number;
  /** f32 of a row of x, and of one of y. */
  x_pitch: number;
  y_pitch: number;
  /** f32 of a row before the numbers. */
  x_first?: number;
  y_first?: number;
  /** Groups in a row of x: numbers of each, and f32 from one to the next. Without them a row is one group. */
  group?: { size: number; pitch: number };
}

export interface CopyRowsBuffers {
  /** Usage UNIFORM | COPY_DST, copyRowsUniformBytes; this kernel's own. */
  uniform: GPUBuffer;
  x: GPUBuffer;
  y: GPUBuffer;
  /** Rows of x, u32; null for all in order. */
  index: GPUBuffer | null;
}

/** The kernel as planned, with what sets the next call's rows. */
export interface CopyRows {
  dispatch: Dispatch;
  /** Before the call is submitted: how many rows, and the row of y that the first becomes. */
  set(count: number, to: number): void;
}

/** Copies of rows, or parts of rows, from buffer to buffer. */
export async function planCopyRows(
  gpu: Gpu,
  label: string,
  shape: CopyRowsShape,
  { uniform, x, y, index }: CopyRowsBuffers,
): Promise<CopyRows> {
  const { rows, width, x_pitch, y_pitch, x_first = 0, y_first = 0, group } = shape;
  const pipeline = await gpu.pipelines.compute({
    shader: "copy_rows",
    conditions: { indexed: index !== null },
    constants: { WORKGROUP: flatLanes },
  });
  const { size, pitch } = group ?? { size: width, pitch: width };
  return {
    dispatch: {
      label,
      pipeline,
      bindGroup: bind(gpu.device, pipeline, [uniform, x, y, index]),
      grid: spread(Math.ceil((rows * width) / flatLanes), gpu.capabilities),
      bytes: 8 * rows * width,
      flops: 0,
    },
    set: (count, to) =>
      gpu.device.queue.writeBuffer(
        uniform,
        0,
        packWords([count, to, x_pitch, x_first, y_pitch, y_first, width, size, pitch]),
      ),
  };
}
