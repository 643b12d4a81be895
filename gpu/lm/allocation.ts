import { bufferUsage } from "../device/constants.ts";
import { BufferTooLargeError } from "../device/errors.ts";
import type { Capabilities } from "../device/gpu.ts";
import { readbackSliceBytes } from "../device/readback.ts";
import { counterBytes } from "../kernels/control.ts";
import { stepUniformBytes } from "../kernels/step.ts";
import { uniformSlotBytes } from "../kernels/uniforms.ts";
import { pitch, plain } from "./layout.ts";
import type { ModelSpec } from "./model-spec.ts";
import { numberBytes, type Precision, scaleBytes, scalesOf, weightBytes } from "./precision.ts";
import { buildProgram, lastRow, logitsPiece, losses, type Op, type Program } from "./program.ts";
import { divergenceName, lossesName, spliceVariants } from "./splice-plan.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;

/** Largest piece of the logits. */
const logitsPieceBytes = 64 * 2 ** 20;
/** Largest piece of the vocabulary's rows of W_E and W_U: what every WebGPU adapter can bind, so that a plan's bytes are the same on each. */
const vocabularyPieceBytes = 2 ** 27;

/** Rows of a cached sequence that are taken up at once. */
const cachedRows = 256;

/** Of each call; the rest of the model is as the spec has it. */
export interface ForwardSize {
  /** Names of hook points. */
  hooks: readonly string[];
  /** Most sequences of one call. */
  n_sequences: number;
  /** Tokens of each sequence. */
  length: number;
  /** Whether logits and losses can be had. */
  logits?: boolean;
  /** Of linear layers' and the embedding's weights; default: f32. */
  precision?: Precision;
  /** Keeps the keys and values of one sequence of up to `length` tokens for `next`: the model generates. */
  cached?: boolean;
}

export interface PlannedSize extends ForwardSize {
  /** Hook point whose activations are replaced on the way to the logits (splice.ts). */
  splice?: string | null;
}

/** One buffer of an open model. */
export interface Allocation {
  bytes: number;
  usage: number;
}

/** All that an open model does and holds, before anything is allocated. */
export interface ForwardPlan {
  program: Program;
  /** Of a pass. */
  rows: number;
  length: number;
  /** Rows of which logits are had at once. */
  headRows: number;
  precision: Precision;
  cached: boolean;
  buffers: Map<string, Allocation>;
}

/** Kinds of ops that only copy. */
const kernelless: ReadonlySet<Op["kind"]> = new Set(["copy", "keep", "last", "splice"]);

/** Names of the buffers that are no activations, weights or tables. */
export const own = { ids: "ids", step: "step", uniforms: "uniforms", counters: "counters", losses };

/**
 * Plans the pass to the last hook point, or to the logits.
 * @throws UnknownHookError; RangeError for sizes that the model cannot take; BufferTooLargeError where the adapter
 *   cannot bind one of the buffers.
 */
export function planForward(
  spec: ModelSpec,
  { limits }: { limits: Pick<Capabilities["limits"], "max_storage_buffer_binding_size"> },
  size: PlannedSize,
): ForwardPlan {
  const {
    hooks,
    n_sequences,
    length,
    logits = false,
    precision = "f32",
    cached = false,
    splice = null,
  } = size;
  if (!Number.isInteger(n_sequences) || n_sequences < 1) {
    throw new RangeError(`A call takes one sequence or more, not ${n_sequences}.`);
  }
  if (!Number.isInteger(length) || length < 1 || length > spec.n_ctx) {
    throw new RangeError(
      `The model takes sequences of 1 to ${spec.n_ctx} tokens, and ${length} were asked for.`,
    );
  }
  if (cached && (n_sequences !== 1 || !logits || hooks.length > 0)) {
    throw new RangeError("A model that generates takes one sequence, gives logits and has no hook points.");
  }
  const rows = cached ? Math.min(length, cachedRows) : n_sequences * length;
  if (rows >= 2 ** 31) throw new RangeError(`${n_sequences} sequences of ${length} tokens are too many.`);
  const largest = limits.max_storage_buffer_binding_size;
  const headRows = cached ? 1 : rows;
  const rowBytes = numberBytes[precision] * pitch(plain(spec.d_model));
  const byWeights = Math.min(largest, vocabularyPieceBytes) / rowBytes;
  const byLogits = logits ? Math.min(largest, logitsPieceBytes) / (4 * headRows) : Number.POSITIVE_INFINITY;
  const pieceTokens = Math.max(4, 4 * Math.floor(Math.min(byWeights, byLogits, 2 ** 24) / 4));
  const program = buildProgram(spec, { hooks, logits, pieceTokens, cached, splice });
  const sizes = { program, rows, length, headRows, precision, cached };
  const plan = { ...sizes, buffers: allocations(sizes) };
  for (const [name, { bytes, usage }] of plan.buffers) {
    if ((usage & STORAGE) !== 0 && bytes > largest) throw new BufferTooLargeError(name, bytes, largest);
  }
  return plan;
}

/** Every buffer of the plan, in bytes. */
function allocations(plan: Omit<ForwardPlan, "buffers">): Map<string, Allocation> {
  const { program, rows, length, headRows, precision, cached } = plan;
  const buffers = new Map<string, Allocation>();
  if (program.ops.length === 0) return buffers;
  const add = (name: string, words: number, usage: number) => buffers.set(name, { bytes: 4 * words, usage });
  for (const [name, weight] of program.weights) {
    add(name, weightBytes(weight, precision) / 4, STORAGE | COPY_DST);
    const scales = scaleBytes(weight, precision);
    if (scales > 0) add(scalesOf(name), scales / 4, STORAGE | COPY_DST);
  }
  for (const [name, { dims }] of program.tables) add(name, length * dims, STORAGE | COPY_DST);
  for (const [name, layout] of program.activations) {
    const own = name === logitsPiece || name === lastRow ? headRows : rows;
    add(name, own * pitch(layout), STORAGE | COPY_SRC | COPY_DST);
  }
  for (const [name, layout] of program.caches) add(name, length * pitch(layout), STORAGE | COPY_DST);
  add(own.ids, rows, STORAGE | COPY_DST);
  add(own.step, stepUniformBytes / 4, UNIFORM | COPY_DST);
  add(own.uniforms, ((cached ? 2 : 1) * uniformSlots(program) * uniformSlotBytes) / 4, UNIFORM | COPY_DST);
  add(own.counters, counterBytes / 4, STORAGE | COPY_SRC | COPY_DST);
  if (program.splice !== null) {
    for (const variant of spliceVariants) {
      add(lossesName(variant), 4 * rows, STORAGE | COPY_SRC);
      if (variant !== "clean") add(divergenceName(variant), 4 * rows, STORAGE | COPY_SRC);
    }
  } else if (program.logits) add(own.losses, 4 * headRows, STORAGE | COPY_SRC);
  return buffers;
}

/** One slot a kernel, twice where a cached sequence is taken up in parts or token by token; a piece of the logits has up to four: product, cap, loss and divergence. */
function uniformSlots({ ops }: Program): number {
  return ops.reduce((sum, { kind }) => sum + (kind === "logits" ? 4 : kernelless.has(kind) ? 0 : 1), 0);
}

/**
 * Bytes on the GPU of a model opened with the same arguments, and of the largest staging buffer while results are read.
 * @throws what `planForward` throws.
 */
export function plannedBytes(spec: ModelSpec, capabilities: Capabilities, size: ForwardSize): number {
  const { buffers, program, rows, headRows } = planForward(spec, capabilities, size);
  let bytes = 0;
  for (const buffer of buffers.values()) bytes += buffer.bytes;
  const rowBytesOf = (name: string) => 4 * pitch(program.activations.get(name)!);
  const largest = Math.max(
    0,
    ...[...program.hooks.values()].map((name) => rows * rowBytesOf(name)),
    ...(program.logits ? [headRows * rowBytesOf(logitsPiece), 16 * headRows] : []),
  );
  return bytes + Math.min(readbackSliceBytes, largest);
}
