import type { Gpu } from "../device/gpu.ts";
import { readFloat32, readUint32 } from "../device/readback.ts";
import { divergedStep } from "../kernels/control.ts";
import { UniformArena } from "../kernels/uniforms.ts";
import { type ForwardPlan, own, planForward } from "./allocation.ts";
import { type HookBuffer, NonFiniteModelError } from "./language-model.ts";
import { pitch } from "./layout.ts";
import { loadModel, type ModelBuffers } from "./model-buffers.ts";
import type { ModelSpec } from "./model-spec.ts";
import { type PlannedOps, planOps } from "./plan-ops.ts";
import type { Precision } from "./precision.ts";
import type { SplicePoint } from "./program.ts";
import { passStep, submitSteps } from "./run-steps.ts";
import {
  divergenceName,
  finalName,
  lossesName,
  requireSplice,
  SpliceError,
  type SpliceVariant,
  savedName,
  spliceVariants,
} from "./splice-plan.ts";
import type { WeightSource } from "./weights.ts";

export interface SplicedModelOptions {
  gpu: Gpu;
  spec: ModelSpec;
  weights: WeightSource;
  precision?: Precision;
  /** Hook point that is read. */
  hook: string;
  /** Hook point that is replaced: `hook` itself, or one that the pass comes by later. */
  hook_out: string;
  /** Most sequences of a pass, and tokens of each. */
  n_sequences: number;
  length: number;
}

/** What each token's prediction of the next is worth; NaN for a sequence's last, which has none. */
export interface VariantResult {
  /** −log p of the next token in nats, f64 [rows]. */
  losses: Float64Array;
  /** KL(clean ‖ variant) of the next token's distribution in nats, f64 [rows]. */
  divergences: Float64Array;
}

/**
 * A language model that is run to a hook point once and from there on to the logits again and again, with whatever stands
 * at the hook point then. Its methods submit work and are called in turn: `begin`, then for each variant `restore`, what
 * replaces the activations, and `end`; at last `results`.
 */
export class SplicedModel {
  /** Activations at `hook` once `begin` has run. */
  readonly input: HookBuffer;
  /** Activations at `hook_out`, to be replaced between `restore` and `end`. */
  readonly output: HookBuffer;
  readonly #gpu: Gpu;
  readonly #spec: ModelSpec;
  readonly #plan: ForwardPlan;
  readonly #splice: SplicePoint;
  readonly #buffers: ModelBuffers;
  readonly #ops: PlannedOps;
  #rows = 0;

  private constructor(
    { gpu, spec, hook, hook_out }: SplicedModelOptions,
    plan: ForwardPlan,
    splice: SplicePoint,
    buffers: ModelBuffers,
    ops: PlannedOps,
  ) {
    this.#gpu = gpu;
    this.#spec = spec;
    this.#plan = plan;
    this.#splice = splice;
    this.#buffers = buffers;
    this.#ops = ops;
    const { hooks, activations } = plan.program;
    const at = (name: string) => ({ buffer: buffers.get(name), layout: activations.get(name)! });
    this.output = at(splice.x);
    this.input = hook === hook_out ? this.output : at(hooks.get(hook)!);
  }

  /**
   * @throws UnknownHookError, SpliceError, ModelWeightsError and RangeError before anything is allocated; the ledger's
   *   errors; nothing stays allocated then.
   */
  static async open(options: SplicedModelOptions): Promise<SplicedModel> {
    const { gpu, spec, weights, hook, hook_out, n_sequences, length, precision = "f32" } = options;
    requireSplice(spec, hook, hook_out);
    if (length < 2) throw new RangeError("A sequence of one token has no next token to predict.");
    const plan = planForward(spec, gpu.capabilities, {
      hooks: hook === hook_out ? [] : [hook],
      n_sequences,
      length,
      logits: true,
      precision,
      splice: hook_out,
    });
    const { splice } = plan.program;
    if (splice === null) throw new SpliceError(`The pass does not come by ${hook_out}.`);
    const buffers = await loadModel(gpu, spec, weights, plan);
    try {
      const uniforms = new UniformArena(gpu, buffers.get(own.uniforms));
      const context = { gpu, uniforms, step: buffers.get(own.step) };
      const ops = await planOps(context, spec, plan, (name) => buffers.get(name));
      return new SplicedModel(options, plan, splice, buffers, ops);
    } catch (refused) {
      buffers.close();
      throw refused;
    }
  }

  /**
   * Runs to the hook point and keeps what the rest of the pass needs.
   * @param input_ids [n, length], n at most `n_sequences`. @throws RangeError for tokens that are not in the vocabulary.
   */
  begin(input_ids: Uint32Array<ArrayBuffer>): void {
    const { rows, length } = this.#plan;
    if (input_ids.length === 0 || input_ids.length % length !== 0 || input_ids.length > rows) {
      throw new RangeError(`${input_ids.length} tokens are no whole number of sequences, or too many.`);
    }
    const beyond = input_ids.find((id) => id >= this.#spec.d_vocab);
    if (beyond !== undefined) {
      throw new RangeError(`Token ${beyond} is not in the model's vocabulary of ${this.#spec.d_vocab}.`);
    }
    const { queue } = this.#gpu.device;
    this.#rows = input_ids.length;
    queue.writeBuffer(this.#buffers.get(own.ids), 0, input_ids);
    queue.writeBuffer(this.#buffers.get(own.step), 0, passStep(this.#rows));
    const encoder = this.#gpu.device.createCommandEncoder({ label: "spliced model" });
    encoder.clearBuffer(this.#buffers.get(own.counters));
    queue.submit([encoder.finish()]);
    submitSteps(this.#gpu, this.#ops.body.slice(0, this.#ops.beforeSplice), this.#rows);
    this.#copy(this.#splice.saved.map((name) => [name, savedName(name)]));
  }

  /** Puts back what stood at the hook point when `begin` came there. */
  restore(): void {
    this.#copy(this.#splice.saved.map((name) => [savedName(name), name]));
  }

  /** Runs from the hook point to the final norm with what stands there now. */
  end(variant: SpliceVariant): void {
    submitSteps(this.#gpu, this.#ops.body.slice(this.#ops.beforeSplice), this.#rows);
    this.#copy([["normed", finalName(variant)]]);
  }

  /** Losses and divergences of every variant, each of which must have ended. @throws NonFiniteModelError */
  async results(): Promise<Record<SpliceVariant, VariantResult>> {
    for (const { compute, loss, divergence } of this.#ops.head) {
      const dispatches = [...compute, loss, ...(divergence === null ? [] : [divergence])];
      submitSteps(
        this.#gpu,
        dispatches.map((dispatch) => ({ dispatch })),
        this.#rows,
      );
    }
    const sums = new Map<SpliceVariant, Float32Array>();
    const divergences = new Map<SpliceVariant, Float32Array>();
    for (const variant of spliceVariants) {
      sums.set(variant, await this.#read(lossesName(variant)));
      if (variant !== "clean") divergences.set(variant, await this.#read(divergenceName(variant)));
    }
    await this.#checkFinite();
    const clean = sums.get("clean")!;
    const result = (variant: SpliceVariant) =>
      this.#result(clean, sums.get(variant)!, divergences.get(variant) ?? null);
    return {
      clean: result("clean"),
      spliced: result("spliced"),
      zero: result("zero"),
      mean: result("mean"),
    };
  }

  close(): void {
    this.#buffers.close();
  }

  #result(clean: Float32Array, sums: Float32Array, divergence: Float32Array | null): VariantResult {
    const losses = new Float64Array(this.#rows).fill(Number.NaN);
    const divergences = new Float64Array(this.#rows).fill(Number.NaN);
    for (let row = 0; row < this.#rows; row++) {
      if (row % this.#plan.length === this.#plan.length - 1) continue;
      const at = 4 * row;
      const logTotal = logSumExp(sums, at);
      losses[row] = logTotal - sums[at + 2]!;
      // Σ p (a − b) − logsumexp(a) + logsumexp(b).
      divergences[row] =
        divergence === null
          ? 0
          : divergence[at + 2]! / divergence[at + 1]! + (logTotal - logSumExp(clean, at));
    }
    return { losses, divergences };
  }

  #copy(pairs: readonly (readonly [from: string, to: string])[]): void {
    const encoder = this.#gpu.device.createCommandEncoder({ label: "splice" });
    for (const [from, to] of pairs) {
      const rowBytes = 4 * pitch(this.#plan.program.activations.get(from)!);
      encoder.copyBufferToBuffer(this.#buffers.get(from), 0, this.#buffers.get(to), 0, this.#rows * rowBytes);
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  #read(name: string): Promise<Float32Array> {
    return readFloat32(this.#gpu, this.#buffers.get(name), 0, 16 * this.#rows);
  }

  async #checkFinite(): Promise<void> {
    const [mark] = await readUint32(this.#gpu, this.#buffers.get(own.counters));
    if (divergedStep(mark!) === null) return;
    throw new NonFiniteModelError(
      "The language model's activations are not finite: its weights are damaged or made for another model, or what is put in their place is too large.",
    );
  }
}

/** Of (largest, Σ exp(logit − largest)) at a place. */
function logSumExp(sums: Float32Array, at: number): number {
  return sums[at]! + Math.log(sums[at + 1]!);
}
