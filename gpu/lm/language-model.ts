import type { Gpu } from "../device/gpu.ts";
import { type Profile, profile } from "../device/profiler.ts";
import { readFloat32, readUint32 } from "../device/readback.ts";
import { divergedStep } from "../kernels/control.ts";
import { UniformArena } from "../kernels/uniforms.ts";
import { type ForwardPlan, type ForwardSize, own, planForward } from "./allocation.ts";
import { type Layout, pitch, plain, unpad } from "./layout.ts";
import { loadModel, type ModelBuffers } from "./model-buffers.ts";
import type { ModelSpec } from "./model-spec.ts";
import { type HeadPiece, type PlannedOps, planOps, type Step } from "./plan-ops.ts";
import { logitsPiece } from "./program.ts";
import { passStep, submitSteps } from "./run-steps.ts";
import type { WeightSource } from "./weights.ts";

export { plannedBytes } from "./allocation.ts";

export interface LanguageModelOptions extends ForwardSize {
  gpu: Gpu;
  spec: ModelSpec;
  weights: WeightSource;
}

/** Activations of a hook point on the GPU, f32 [rows, pitch(layout)]. */
export interface HookBuffer {
  buffer: GPUBuffer;
  layout: Layout;
}

/** A pass met a number that is not finite, so what it gave is worthless. */
export class NonFiniteModelError extends Error {
  override readonly name = "NonFiniteModelError";
}

/**
 * Loads the weights of a pass up to its last hook point, or to the logits, and plans it. Close it with `close()`.
 * @throws UnknownHookError, ModelWeightsError and RangeError before anything is allocated; the ledger's errors.
 */
export async function openLanguageModel(options: LanguageModelOptions): Promise<LanguageModel> {
  const { gpu, spec, weights } = options;
  const plan = planForward(spec, gpu.capabilities, options);
  const buffers = await loadModel(gpu, spec, weights, plan);
  try {
    return new LanguageModel(gpu, spec, plan, buffers, await planned(gpu, spec, plan, buffers));
  } catch (error) {
    buffers.close();
    throw error;
  }
}

async function planned(
  gpu: Gpu,
  spec: ModelSpec,
  plan: ForwardPlan,
  buffers: ModelBuffers,
): Promise<PlannedPasses> {
  if (plan.program.ops.length === 0) return { body: [], beforeSplice: 0, head: [], single: [] };
  const uniforms = new UniformArena(gpu, buffers.get(own.uniforms));
  const context = { gpu, uniforms, step: buffers.get(own.step) };
  const get = (name: string) => buffers.get(name);
  const whole = await planOps(context, spec, plan, get);
  if (!plan.cached) return { ...whole, single: [] };
  return { ...whole, single: (await planOps(context, spec, { ...plan, rows: 1 }, get)).body };
}

interface PlannedPasses extends PlannedOps {
  /** The body for one row of a cached sequence. */
  single: Step[];
}

/**
 * A language model on the GPU, planned for calls of up to `n_sequences` sequences of `length` tokens. Calls wait for
 * one another, as they share the model's buffers.
 */
export class LanguageModel {
  readonly spec: ModelSpec;
  /** Tokens of a sequence. */
  readonly length: number;
  readonly #gpu: Gpu;
  readonly #plan: ForwardPlan;
  readonly #buffers: ModelBuffers;
  readonly #ops: PlannedPasses;
  /** Positions whose keys and values are kept. */
  #kept = 0;
  #lastTurn: Promise<unknown> = Promise.resolve();
  /** Calls begun and not yet ended. */
  #running = 0;
  #closed = false;

  /** Made by `openLanguageModel`. */
  constructor(gpu: Gpu, spec: ModelSpec, plan: ForwardPlan, buffers: ModelBuffers, ops: PlannedPasses) {
    this.spec = spec;
    this.length = plan.length;
    this.#gpu = gpu;
    this.#plan = plan;
    this.#buffers = buffers;
    this.#ops = ops;
  }

  /**
   * The activations at every hook point that was asked for, f32 [n, length, width] each.
   * @param input_ids [n, length], n at most `n_sequences`.
   * @throws RangeError for tokens that are not in the vocabulary, before anything is submitted;
   *   NonFiniteModelError
   */
  forward(input_ids: Uint32Array): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    return this.#inTurn(async () => {
      const rows = this.#check(input_ids);
      const { hooks, activations } = this.#plan.program;
      const results = new Map<string, Float32Array<ArrayBuffer>>();
      if (hooks.size === 0) return results;
      this.#runBody(input_ids, rows);
      for (const [hook, name] of hooks) {
        const layout = activations.get(name)!;
        results.set(hook, unpad(await this.#read(name, rows * pitch(layout)), layout));
      }
      await this.#checkFinite();
      return results;
    });
  }

  /**
   * Runs a pass and leaves its activations on the GPU; `use` submits what reads them before the next call overwrites them.
   * Numbers that are not finite are not looked for: who reads the activations does.
   * @param use is given the hook points' buffers, whose first rows are the pass's.
   * @throws RangeError for tokens that are not in the vocabulary, before anything is submitted.
   */
  run(input_ids: Uint32Array, use: (activation: (hook: string) => HookBuffer) => void): Promise<void> {
    return this.#inTurn(async () => {
      this.#runBody(input_ids, this.#check(input_ids));
      use((hook) => this.activation(hook));
    });
  }

  /** Where a hook point's activations lie once a pass has run. The model must have been opened for it. */
  activation(hook: string): HookBuffer {
    const { hooks, activations } = this.#plan.program;
    const name = hooks.get(hook);
    if (name === undefined) throw new Error(`The language model was not opened for ${hook}.`);
    return { buffer: this.#buffers.get(name), layout: activations.get(name)! };
  }

  /**
   * The logits, soft caps applied, f32 [n, length, d_vocab]; piece by piece, so that the GPU never holds all of them.
   * The model must have been opened with `logits`. @throws what `forward` throws.
   */
  logits(input_ids: Uint32Array): Promise<Float32Array<ArrayBuffer>> {
    return this.#inTurn(async () => {
      const rows = this.#check(input_ids);
      this.#head();
      this.#runBody(input_ids, rows);
      const result = await this.#pieces(rows);
      await this.#checkFinite();
      return result;
    });
  }

  /** The logits of the first rows, f32 [rows, d_vocab], after a pass. */
  async #pieces(rows: number): Promise<Float32Array<ArrayBuffer>> {
    const { d_vocab } = this.spec;
    const result = new Float32Array(rows * d_vocab);
    this.#writeStep(rows, 0);
    for (const { piece, compute } of this.#head()) {
      this.#submit(
        compute.map((dispatch) => ({ dispatch })),
        rows,
      );
      const width = pitch(plain(piece.count));
      const values = await this.#read(logitsPiece, rows * width);
      for (let row = 0; row < rows; row++) {
        result.set(values.subarray(row * width, row * width + piece.count), row * d_vocab + piece.first);
      }
    }
    return result;
  }

  /**
   * Mean loss of predicting each next token of a sequence, length − 1 of them, in nats; f64 [n].
   * The model must have been opened with `logits`, for two tokens or more. @throws what `forward` throws.
   */
  crossEntropy(input_ids: Uint32Array): Promise<Float64Array> {
    return this.#inTurn(async () => {
      const rows = this.#check(input_ids);
      const head = this.#head();
      if (this.length < 2) throw new RangeError("A sequence of one token has no next token to predict.");
      this.#runBody(input_ids, rows);
      for (const { compute, loss } of head) {
        this.#submit(
          [...compute, loss].map((dispatch) => ({ dispatch })),
          rows,
        );
      }
      const sums = await this.#read(own.losses, 4 * rows);
      await this.#checkFinite();
      const losses = new Float64Array(rows / this.length);
      for (let row = 0; row < rows; row++) {
        if (row % this.length === this.length - 1) continue;
        const [largest, total, next] = sums.subarray(4 * row, 4 * row + 3) as unknown as [
          number,
          number,
          number,
        ];
        losses[Math.floor(row / this.length)]! += (largest + Math.log(total) - next) / (this.length - 1);
      }
      return losses;
    });
  }

  /**
   * The logits that follow `ids`, which stand from position `first` on; what stood there or later is forgotten. f32
   * [d_vocab]. The model must have been opened with `cached`.
   * @param first at most the positions taken up so far.
   * @throws what `forward` throws; RangeError for positions that are not there.
   */
  next(ids: Uint32Array, first: number): Promise<Float32Array<ArrayBuffer>> {
    return this.#inTurn(async () => {
      if (!this.#plan.cached) throw new Error("The language model was not opened to generate.");
      if (ids.length === 0 || first + ids.length > this.length) {
        throw new RangeError(
          `The model was opened for ${this.length} positions; ${ids.length} tokens do not stand from ${first} on.`,
        );
      }
      if (!Number.isInteger(first) || first < 0 || first > this.#kept) {
        throw new RangeError(
          `Tokens follow one of the ${this.#kept} positions so far, not position ${first}.`,
        );
      }
      this.#checkIds(ids, ids.length);
      const most = this.#plan.rows;
      for (let from = 0; from < ids.length; from += most) {
        this.#kept = first + from;
        const part = ids.subarray(from, from + most);
        this.#runBody(part, part.length, first + from, from > 0);
      }
      const logits = await this.#pieces(1);
      await this.#checkFinite();
      this.#kept = first + ids.length;
      return logits;
    });
  }

  /**
   * Times every kernel of a pass up to the last hook point, or to the final norm.
   * @param repetitions passes, after one that warms up.
   * @throws what `forward` throws.
   */
  profile(input_ids: Uint32Array, repetitions: number): Promise<Profile> {
    return this.#inTurn(async () => {
      const rows = this.#check(input_ids);
      this.#runBody(input_ids, rows);
      const kernels = this.#ops.body.flatMap((step) => ("dispatch" in step ? [step.dispatch] : []));
      const profiled = await profile(this.#gpu, kernels, { repetitions });
      await this.#checkFinite();
      return profiled;
    });
  }

  /** Gives everything back, once running calls have ended; later ones are refused. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#running === 0) this.#buffers.close();
  }

  async #inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error("The language model is closed.");
    this.#running++;
    const turn = this.#lastTurn.then(task);
    this.#lastTurn = turn.catch(() => null);
    try {
      return await turn;
    } finally {
      this.#running--;
      if (this.#closed && this.#running === 0) this.#buffers.close();
    }
  }

  /** Rows of the call. @throws RangeError */
  #check(input_ids: Uint32Array): number {
    if (this.#plan.cached) throw new Error("The language model was opened to generate.");
    const rows = input_ids.length;
    if (rows === 0 || rows % this.length !== 0 || rows > this.#plan.rows) {
      throw new RangeError(
        `The model was opened for up to ${this.#plan.rows / this.length} sequences of ${this.length} tokens; ` +
          `${rows} tokens are no whole number of them.`,
      );
    }
    this.#checkIds(input_ids, this.length);
    return rows;
  }

  /** @throws RangeError */
  #checkIds(input_ids: Uint32Array, length: number): void {
    const { d_vocab } = this.spec;
    const beyond = input_ids.findIndex((id) => id >= d_vocab);
    if (beyond >= 0) {
      throw new RangeError(
        `Token ${beyond % length} of sequence ${Math.floor(beyond / length)} is ` +
          `${input_ids[beyond]}, but the model has tokens 0 to ${d_vocab - 1}.`,
      );
    }
  }

  #head(): HeadPiece[] {
    if (!this.#plan.program.logits) throw new Error("The language model was not opened for logits.");
    return this.#ops.head;
  }

  /**
   * Submits the pass up to the last hook point, or to the final norm.
   * @param first position of the first row.
   * @param continued it is a part of a pass that has begun, whose mark of numbers that are not finite stays.
   */
  #runBody(input_ids: Uint32Array, rows: number, first = 0, continued = false): void {
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.#buffers.get(own.ids), 0, new Uint32Array(input_ids));
    this.#writeStep(rows, first);
    if (!continued) {
      const encoder = this.#gpu.device.createCommandEncoder({ label: "language model" });
      encoder.clearBuffer(this.#buffers.get(own.counters));
      queue.submit([encoder.finish()]);
    }
    this.#submit(rows === 1 && this.#plan.cached ? this.#ops.single : this.#ops.body, rows, first);
  }

  #writeStep(rows: number, first: number): void {
    this.#gpu.device.queue.writeBuffer(this.#buffers.get(own.step), 0, passStep(rows, first));
  }

  /** @param position of the first row. */
  #submit(steps: readonly Step[], rows: number, position = 0): void {
    submitSteps(this.#gpu, steps, rows, position);
  }

  async #read(name: string, words: number): Promise<Float32Array<ArrayBuffer>> {
    const values = await readFloat32(this.#gpu, this.#buffers.get(name), 0, 4 * words);
    return values as Float32Array<ArrayBuffer>;
  }

  async #checkFinite(): Promise<void> {
    const [mark] = await readUint32(this.#gpu, this.#buffers.get(own.counters));
    if (divergedStep(mark!) === null) return;
    throw new NonFiniteModelError(
      "The language model's activations are not finite: its weights are damaged, or made for another model.",
    );
  }
}
