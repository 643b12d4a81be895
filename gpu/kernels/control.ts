/** Nested dictionaries that a step can have (shaders/control.wgsl). */
export const mostLevels = 16;

/** Bytes of shaders/control.wgsl's struct before its tail. */
const headBytes = 32 + 16 * mostLevels;

/** Bytes of the struct: what one kernel of a step decides for later ones. */
export function controlBytes(d_sae: number, tokenNorms: number): number {
  return headBytes + 4 * (Math.ceil(d_sae / 32) + tokenNorms);
}

/** Word at which the norms of the tokens begin, in the struct as words. */
export function firstTokenNorm(d_sae: number): number {
  return headBytes / 4 + Math.ceil(d_sae / 32);
}

/** Bytes of the atomic counters: the sticky mark of divergence. */
export const counterBytes = 16;

/** Byte offset of the mark. */
export const divergenceOffset = 0;

/** The first step at which a number was not finite, from the mark that the GPU keeps; null for none. */
export function divergedStep(mark: number): number | null {
  return mark === 0 ? null : 0xffffffff - mark;
}

/** Widths of nested dictionaries as the uniforms have them: four vec4u. */
export function widthWords(widths: readonly number[]): number[] {
  return Array.from({ length: mostLevels }, (_, level) => widths[level] ?? 0);
}
