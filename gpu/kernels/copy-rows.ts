import { bind } from "../device/bind.ts";
import type { Dispatch } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { flatLanes, spread } from "./grid.ts";
import { packWords, type UniformArena } from "./uniforms.ts";

/** Where the rows of one side lie. */
export interface RowsSide {
  buffer: GPUBuffer;
  /** f32 from row to row; 0: one row stands for all. */
  pitch: number;
  /** First column; default 0. */
  column?: number;
  /** Numbers of a group, and f32 of a padded one; default: a row is one group. */
  groups?: { size: number; pitch: number };
  /** The rows that are in this buffer, where others are elsewhere; default all. */
  part?: { first: number; rows: number };
}

export interface CopyRows {
  label: string;
  /** Most rows of one use. */
  rows: number;
  /** Columns that are copied. */
  width: number;
  from: RowsSide;
  to: RowsSide;
  /** u32 row numbers of one side; null: both are taken in order. */
  list: { side: "from" | "to"; rows: GPUBuffer } | null;
  /** Counters (control.ts) in which a number that is not finite leaves its mark; null: unchecked. */
  counters: GPUBuffer | null;
}

/** Bytes of the uniform that says which rows a use is for. */
export const rowRangeBytes = 16;

/** Which rows are copied in one use. */
export interface RowRange {
  count: number;
  /** First entry of the list. */
  list?: number;
  /** First row of the side that no list is for. */
  from?: number;
  to?: number;
}

export function packRowRange({ count, list = 0, from = 0, to = 0 }: RowRange): ArrayBuffer {
  return packWords([count, list, from, to]);
}

/** What a copy is planned with. @param range uniform of `packRowRange`, rewritten before every use. */
export interface CopyContext {
  gpu: Gpu;
  uniforms: UniformArena;
  range: GPUBuffer;
}

/** Rows of one buffer into another. */
export async function planCopyRows(context: CopyContext, copy: CopyRows): Promise<Dispatch> {
  const to = await planCopyRowsTo(context, copy);
  return to(copy.to.buffer);
}

/** Rows of one buffer into whichever is asked for, each laid out as `to` says. */
export async function planCopyRowsTo(
  { gpu, uniforms, range }: CopyContext,
  { label, rows, width, from, to, list, counters }: Omit<CopyRows, "to"> & { to: Omit<RowsSide, "buffer"> },
): Promise<(buffer: GPUBuffer) => Dispatch> {
  const pipeline = await gpu.pipelines.compute({
    shader: "copy_rows",
    conditions: {
      gather: list?.side === "from",
      scatter: list?.side === "to",
      checked: counters !== null,
    },
    constants: { WORKGROUP: flatLanes },
  });
  const uniform = uniforms.add([...sideWords(from, width), ...sideWords(to, width), width]);
  return (buffer) => ({
    label,
    pipeline,
    bindGroup: bind(gpu.device, pipeline, [
      range,
      uniform,
      from.buffer,
      buffer,
      list?.rows ?? null,
      counters,
    ]),
    grid: spread(Math.ceil((rows * width) / flatLanes), gpu.capabilities),
    bytes: 8 * rows * width,
    flops: 0,
  });
}

function sideWords({ pitch, column = 0, groups, part }: Omit<RowsSide, "buffer">, width: number): number[] {
  const whole = column + width;
  return [
    pitch,
    column,
    groups?.size ?? whole,
    groups?.pitch ?? whole,
    part?.first ?? 0,
    part?.rows ?? 0xffffffff,
  ];
}
