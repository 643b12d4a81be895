import type { Dispatch } from "../device/dispatch.ts";
import { planEncode } from "../kernels/encode.ts";
import type { PlanContext } from "../kernels/grid.ts";
import { type ForwardPlan, own } from "./allocation.ts";
import { planLmActivate } from "./kernels/activate.ts";
import { planAdd } from "./kernels/add.ts";
import { planAttention } from "./kernels/attention.ts";
import { planDivergence } from "./kernels/divergence.ts";
import { planEmbed } from "./kernels/embed.ts";
import { planLoss } from "./kernels/loss.ts";
import { planNorm } from "./kernels/norm.ts";
import { planRotary } from "./kernels/rotary.ts";
import { planRowProduct } from "./kernels/row-product.ts";
import { planSoftcap } from "./kernels/softcap.ts";
import { pitch, plain } from "./layout.ts";
import type { ModelSpec } from "./model-spec.ts";
import { type Precision, scalesOf, storedAs } from "./precision.ts";
import type { Op, Piece } from "./program.ts";

/**
 * A step of the pass: a kernel, or rows copied from one buffer to another: the first ones, to the same place or to that of
 * their positions, or the last one.
 */
export type Step =
  | { dispatch: Dispatch }
  | { from: GPUBuffer; to: GPUBuffer; rowBytes: number; which: "first" | "positions" | "last" };

/** One piece of the logits: what computes it into the logits' buffer, and what takes it into the losses. */
export interface HeadPiece {
  piece: Piece;
  compute: Dispatch[];
  loss: Dispatch;
  /** Takes it into the sums of a spliced program's divergences. */
  divergence: Dispatch | null;
}

export interface PlannedOps {
  /** All up to the final norm. */
  body: Step[];
  /** Steps of the body before the splice point; all where there is none. */
  beforeSplice: number;
  head: HeadPiece[];
}

/** Plans every op of the program. @param buffers of the plan, by name. */
export async function planOps(
  context: PlanContext,
  spec: ModelSpec,
  plan: ForwardPlan,
  buffers: (name: string) => GPUBuffer,
): Promise<PlannedOps> {
  const planner = new OpPlanner(context, spec, plan, buffers);
  const planned: PlannedOps = { body: [], beforeSplice: 0, head: [] };
  let spliced = false;
  for (const op of plan.program.ops) {
    if (op.kind === "logits") planned.head.push(await planner.logits(op));
    else if (op.kind === "splice") spliced = true;
    else if (op.kind === "copy" || op.kind === "keep" || op.kind === "last") {
      planned.body.push(planner.copy(op));
    } else planned.body.push({ dispatch: await planner.kernel(op) });
    if (!spliced) planned.beforeSplice = planned.body.length;
  }
  return planned;
}

type Of<K extends Op["kind"]> = Extract<Op, { kind: K }>;

class OpPlanner {
  readonly #context: PlanContext;
  readonly #spec: ModelSpec;
  readonly #plan: ForwardPlan;
  readonly #buffer: (name: string) => GPUBuffer;

  constructor(context: PlanContext, spec: ModelSpec, plan: ForwardPlan, buffer: (name: string) => GPUBuffer) {
    this.#context = context;
    this.#spec = spec;
    this.#plan = plan;
    this.#buffer = buffer;
  }

  copy({ kind, x, y }: Of<"copy" | "keep" | "last">): Step {
    const which = ({ copy: "first", keep: "positions", last: "last" } as const)[kind];
    return { from: this.#buffer(x), to: this.#buffer(y), rowBytes: 4 * pitch(this.#layout(x)), which };
  }

  kernel(op: Exclude<Op, { kind: "copy" | "keep" | "last" | "splice" | "logits" }>): Promise<Dispatch> {
    const context = this.#context;
    const { rows, length } = this.#plan;
    const buffer = this.#buffer;
    switch (op.kind) {
      case "embed":
        return planEmbed(
          context,
          {
            ...{ rows, stride: this.#stride(op.y), ...op.piece, scale: op.scale },
            stored: this.#stored(op.W),
          },
          { ids: buffer(own.ids), W: buffer(op.W), scales: this.#scales(op.W), y: buffer(op.y) },
        );
      case "add":
        return planAdd(
          context,
          {
            label: op.positions ? "add positions" : "add",
            rows,
            stride: this.#stride(op.y),
            period: op.positions ? length : null,
          },
          { x: buffer(op.x), y: buffer(op.y) },
        );
      case "norm":
        return planNorm(
          context,
          { label: "norm", rows, layout: this.#layout(op.y), norm: op.norm },
          {
            x: op.x === op.y ? null : buffer(op.x),
            w: this.#optional(op.w),
            b: this.#optional(op.b),
            y: buffer(op.y),
          },
        );
      case "linear":
        return this.#linear(op, rows, pitch(this.#layout(op.y)), `linear ${op.y}`);
      case "rotary":
        return planRotary(
          context,
          {
            rows,
            length,
            layout: this.#layout(op.x),
            pairs: this.#plan.program.tables.get(op.table)!.dims / 2,
          },
          { table: buffer(op.table), x: buffer(op.x) },
        );
      case "attention":
        return this.#attention(op);
      case "activate":
        return planLmActivate(
          context,
          { rows, stride: this.#stride(op.y), activation: this.#spec.mlp.activation },
          { y: buffer(op.y), up: this.#optional(op.up) },
        );
    }
  }

  async logits(op: Of<"logits">): Promise<HeadPiece> {
    const { headRows: rows, length } = this.#plan;
    const { logit_softcap: cap } = this.#spec;
    const { first, count } = op.piece;
    const width = pitch(plain(count));
    const y = this.#buffer(op.y);
    const compute = [await this.#linear(op, rows, width, "linear logits")];
    if (cap !== null) compute.push(await planSoftcap(this.#context, { rows, stride: width / 4, cap }, y));
    const loss = await planLoss(
      this.#context,
      { rows, length, first, count, pitch: width },
      { ids: this.#buffer(own.ids), logits: y, losses: this.#buffer(op.losses) },
    );
    const divergence =
      op.divergence === null
        ? null
        : await planDivergence(
            this.#context,
            { rows, first, count, pitch: width },
            { clean: this.#buffer(op.divergence.from), other: y, sums: this.#buffer(op.divergence.sums) },
          );
    return { piece: op.piece, compute, loss, divergence };
  }

  /** y = x Wᵀ + b is the trainer's product: a row of W, padded with zeros, is a feature there. */
  #linear(
    { x, y, W, b }: { x: string; y: string; W: string; b: string | null },
    rows: number,
    outputs: number,
    label: string,
  ): Promise<Dispatch> {
    const stride = pitch(this.#layout(x)) / 4;
    const stored = this.#stored(W);
    const buffers = {
      x: this.#buffer(x),
      W: this.#buffer(W),
      scales: this.#scales(W),
      bias: b === null ? null : { buffer: this.#buffer(b) },
      z: this.#buffer(y),
      counters: this.#buffer(own.counters),
    };
    return rows === 1
      ? planRowProduct(this.#context, { label, outputs, stride, stored }, buffers)
      : planEncode(this.#context, { label, rows, d_sae: outputs, stride, half: false, stored }, buffers);
  }

  #attention({ q, k, v, z, window }: Of<"attention">): Promise<Dispatch> {
    const { rows, cached } = this.#plan;
    const length = cached ? rows : this.#plan.length;
    const { n_heads, n_kv_heads, d_head, attention_scale: scale, attention_softcap: cap } = this.#spec;
    return planAttention(
      this.#context,
      { rows, length, n_heads, n_kv_heads, d_head, scale, cap, window },
      { q: this.#buffer(q), k: this.#buffer(k), v: this.#buffer(v), z: this.#buffer(z) },
    );
  }

  #stored(weight: string): Precision {
    return storedAs(this.#plan.program.weights.get(weight)!.weight, this.#plan.precision);
  }

  #scales(weight: string): GPUBuffer | null {
    return this.#stored(weight) === "int8" ? this.#buffer(scalesOf(weight)) : null;
  }

  #optional(name: string | null): GPUBuffer | null {
    return name === null ? null : this.#buffer(name);
  }

  #layout(activation: string) {
    return this.#plan.program.activations.get(activation)!;
  }

  /** vec4f of a whole row. */
  #stride(activation: string): number {
    return pitch(this.#layout(activation)) / 4;
  }
}
