/** No adapter answers the request. The message says what was looked for and what to do. */
export class NoAdapterError extends Error {
  override readonly name = "NoAdapterError";
}

/** The ledger's budget does not cover an allocation; nothing was allocated. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
  readonly label: string;
  /** Bytes asked for. */
  readonly wanted: number;
  /** Bytes that were left. */
  readonly free: number;

  constructor(label: string, wanted: number, free: number, budget: number) {
    super(
      `Out of GPU memory: "${label}" needs ${inMebibytes(wanted)}, but only ${inMebibytes(free)} of the budget of ` +
        `${inMebibytes(budget)} are left. Lower the batch size or d_sae, or close what else uses the device.`,
    );
    this.label = label;
    this.wanted = wanted;
    this.free = free;
  }
}

/** One buffer is larger than the adapter can make it, however much memory is free. */
export class BufferTooLargeError extends Error {
  override readonly name = "BufferTooLargeError";
  readonly label: string;
  /** Bytes asked for. */
  readonly wanted: number;
  /** The adapter's maxBufferSize, bytes. */
  readonly limit: number;

  constructor(label: string, wanted: number, limit: number) {
    super(
      `"${label}" needs one buffer of ${inMebibytes(wanted)}, but this adapter's largest is ${inMebibytes(limit)}. ` +
        `Lower the batch size or d_sae.`,
    );
    this.label = label;
    this.wanted = wanted;
    this.limit = limit;
  }
}

/** A shader does not link, compile or make a pipeline. `wgsl` is the linked text with line numbers. */
export class ShaderError extends Error {
  override readonly name = "ShaderError";
  readonly shader: string;
  readonly wgsl: string | null;

  constructor(shader: string, reason: string, wgsl: string | null, cause?: unknown) {
    super(`Shader "${shader}": ${reason}${wgsl === null ? "" : `\nLinked WGSL:\n${wgsl}`}`, { cause });
    this.shader = shader;
    this.wgsl = wgsl;
  }
}

function inMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
