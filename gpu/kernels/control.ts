/** Bytes of shaders/control.wgsl's struct: what one kernel of a step decides for later ones. */
export const controlBytes = 32;

/** Bytes of the atomic counters, and the words that are reset before every step: the cursors of the counting sort. */
export const counterBytes = 16;
export const stepCounterBytes = 8;

/** Cursor words among the counters. */
export const entryCursor = { main: 0, aux: 1 } as const;

/** Byte offset of the sticky divergence mark among the counters. */
export const divergenceOffset = 8;

/** The first step at which a number was not finite, from the mark that the GPU keeps; null for none. */
export function divergedStep(mark: number): number | null {
  return mark === 0 ? null : 0xffffffff - mark;
}
