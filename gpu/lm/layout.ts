/**
 * How the numbers of a row lie in a GPU buffer: `groups` runs of `size` numbers (the heads of a projection; one run
 * elsewhere), each filled up with zeros to whole vec4f, so that no kernel meets the end of a row.
 */
export interface Layout {
  groups: number;
  size: number;
}

export function plain(size: number): Layout {
  return { groups: 1, size };
}

/** Numbers of a row without padding. */
export function width({ groups, size }: Layout): number {
  return groups * size;
}

/** f32 of a padded group. */
export function groupPitch({ size }: Layout): number {
  return 4 * Math.ceil(size / 4);
}

/** f32 of a padded row. */
export function pitch(layout: Layout): number {
  return layout.groups * groupPitch(layout);
}

/** Place in a padded row of number `i` of the row. */
export function place(layout: Layout, i: number): number {
  return Math.floor(i / layout.size) * groupPitch(layout) + (i % layout.size);
}

/** Rows without their padding: f32 [rows, width]. */
export function unpad(padded: Float32Array<ArrayBuffer>, layout: Layout): Float32Array<ArrayBuffer> {
  const [from, to] = [pitch(layout), width(layout)];
  if (from === to) return padded;
  const rows = padded.length / from;
  const result = new Float32Array(rows * to);
  const step = groupPitch(layout);
  for (let group = 0; group < rows * layout.groups; group++) {
    result.set(padded.subarray(group * step, group * step + layout.size), group * layout.size);
  }
  return result;
}
