import type { StepBuffers } from "./memory.ts";
import type { StepSizes, weightNames } from "./sizes.ts";

/**
 * Where a tensor of the training state lies on the GPU: rows of `points` pieces, each of `width` columns padded to whole
 * vec4f. A vector is one row.
 */
export interface PlacedTensor {
  name: string;
  shape: number[];
  buffer: GPUBuffer;
  /** Bytes before it. */
  offset: number;
  points: number;
  kind: "f32" | "u32";
}

/** The architecture's parameters by name, in the weights' own buffers or in those of Adam's moments or of the averages. */
export function placedParameters(
  sizes: StepSizes,
  buffers: StepBuffers,
  prefix: "" | "m_" | "v_" | "ema_" = "",
): PlacedTensor[] {
  const { d_sae, points, width_in, width_out, parameters, feature_stride } = sizes;
  const input = points * width_in;
  const output = points * width_out;
  const place = (
    name: string,
    shape: number[],
    of: (typeof weightNames)[number],
    pieces: number,
    offset = 0,
  ): PlacedTensor => ({
    name,
    shape,
    buffer: buffers[`${prefix}${of}`],
    offset,
    points: pieces,
    kind: "f32",
  });
  return [
    place("W_enc", [d_sae, input], "W_enc", points),
    place("W_dec", [d_sae, output], "W_dec", points),
    ...parameters.map((name, row) => place(name, [d_sae], "feature_parameters", 1, 4 * row * feature_stride)),
    place("b_dec", [output], "b_dec", points),
    ...(sizes.skip ? [place("W_skip", [output, input], "W_skip", 1)] : []),
  ];
}

/** How a tensor's elements map to the floats of its place. */
export function paddedLayout({ shape, points }: Pick<PlacedTensor, "shape" | "points">): {
  rows: number;
  width: number;
  /** Elements from one piece to the next, packed and padded. */
  pitch: number;
} {
  const columns = shape.at(-1)!;
  const rows = shape.length === 1 ? 1 : shape[0]!;
  const width = columns / points;
  return { rows: rows * points, width, pitch: 4 * Math.ceil(width / 4) };
}
