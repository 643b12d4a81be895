import { bufferUsage } from "../device/constants.ts";
import { type Dispatch, encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { readFloat32 } from "../device/readback.ts";
import { blocksOf, planColumnSum } from "../kernels/column-sum.ts";
import {
  type CopyContext,
  packRowRange,
  planCopyRows,
  type RowRange,
  type RowsSide,
  rowRangeBytes,
} from "../kernels/copy-rows.ts";
import { planReplaceRows } from "../kernels/replace-rows.ts";
import { stepUniformBytes } from "../kernels/step.ts";
import { UniformArena, uniformSlotBytes } from "../kernels/uniforms.ts";
import type { HookBuffer } from "../lm/language-model.ts";
import { groupPitch, pitch, width } from "../lm/layout.ts";
import { passStep } from "../lm/run-steps.ts";
import type { SaeOnGpu } from "../sae/sae-on-gpu.ts";

const kernels = 7;

/** Numbers a replaced row's statistics have: Σ e², Σ (x − mean)², Σ x², Σ x̂², Σ x x̂, and padding. */
export const rowStatistics = 8;

export interface SaeSpliceOptions {
  gpu: Gpu;
  sae: SaeOnGpu;
  /** Where the activations lie that the SAE reads, and those that are replaced; one and the same but for transcoders. */
  input: HookBuffer;
  output: HookBuffer;
  /** Most rows of a pass. */
  passRows: number;
}

interface SpliceSizes {
  /** Of one run of the SAE, and of a pass, at most. */
  rows: number;
  passRows: number;
  d_out: number;
  /** The SAE reads other activations than it replaces. */
  apart: boolean;
}

function plannedBuffers({
  rows,
  passRows,
  d_out,
  apart,
}: SpliceSizes): [string, words: number, usage: number][] {
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;
  const padded = 4 * Math.ceil(d_out / 4);
  return [
    ["list", passRows, STORAGE | COPY_DST],
    ["range", rowRangeBytes / 4, UNIFORM | COPY_DST],
    ["step", stepUniformBytes / 4, UNIFORM | COPY_DST],
    ["uniforms", (kernels * uniformSlotBytes) / 4, UNIFORM | COPY_DST],
    ...(apart ? [["targets", rows * d_out, STORAGE] as [string, number, number]] : []),
    ["zero", d_out, STORAGE],
    ["mean", d_out, STORAGE | COPY_DST],
    ["errors", rows * padded, STORAGE],
    ["statistics", rowStatistics * passRows, STORAGE | COPY_SRC],
    ["sums", blocksOf(rows).blocks * padded, STORAGE | COPY_SRC],
  ];
}

interface Planned {
  gather: Dispatch[];
  replace: Dispatch[];
  ablate: { zero: Dispatch; mean: Dispatch };
  sumOutput: Dispatch[];
  sumErrors: Dispatch;
}

/**
 * Puts in the place of a model's activations, on the GPU and in the chosen rows of a pass alone, what an SAE makes of them,
 * zeros, or their mean.
 */
export class SaeSplice {
  readonly #options: SaeSpliceOptions;
  readonly #buffers: Record<string, GPUBuffer>;
  readonly #planned: Planned;
  readonly #pitch: number;
  #count = 0;

  private constructor(options: SaeSpliceOptions, buffers: Record<string, GPUBuffer>, planned: Planned) {
    this.#options = options;
    this.#buffers = buffers;
    this.#planned = planned;
    this.#pitch = 4 * Math.ceil(width(options.output.layout) / 4);
  }

  /** @throws RangeError where widths do not fit; the ledger's errors; nothing stays allocated then. */
  static async open(options: SaeSpliceOptions): Promise<SaeSplice> {
    const { gpu, sae, input, output, passRows } = options;
    const { d_in, d_out } = sae.config;
    const [from, to] = [width(input.layout), width(output.layout)];
    if (d_in !== from || d_out !== to) {
      throw new RangeError(
        `An SAE from ${d_in} to ${d_out} columns cannot stand between hook points of ${from} and ${to}.`,
      );
    }
    const sizes = { rows: sae.rows, d_out, passRows, apart: input.buffer !== output.buffer };
    const buffers: Record<string, GPUBuffer> = {};
    try {
      for (const [name, words, usage] of plannedBuffers(sizes)) {
        buffers[name] = gpu.ledger.allocate(`splice/${name}`, 4 * words, usage);
      }
      return new SaeSplice(options, buffers, await plan(options, buffers, 4 * Math.ceil(d_out / 4)));
    } catch (refused) {
      for (const buffer of Object.values(buffers)) gpu.ledger.free(buffer);
      throw refused;
    }
  }

  /** Bytes that the ledger holds of a splice opened so. */
  static bytes(sizes: SpliceSizes): number {
    return plannedBuffers(sizes).reduce((sum, [, words]) => sum + 4 * words, 0);
  }

  /** The rows of the pass, ascending, that all that follows is about. */
  choose(rows: Uint32Array<ArrayBuffer>): void {
    this.#count = rows.length;
    this.#options.gpu.device.queue.writeBuffer(this.#buffers.list!, 0, rows);
  }

  /** What mean ablation puts in place and variance is measured from, [d_out]. */
  setMean(mean: Float32Array<ArrayBuffer>): void {
    this.#options.gpu.device.queue.writeBuffer(this.#buffers.mean!, 0, mean);
  }

  /** Sums of the chosen rows as they stand where they are replaced, added to `sums` f64 [d_out]. */
  async addOutput(sums: Float64Array): Promise<void> {
    for (const range of this.#chunks()) {
      this.#submit(range, (encoder) => this.#pass(encoder, this.#planned.sumOutput));
      await this.#addSums(sums);
    }
  }

  /** Replaces the chosen rows by zeros or by the mean. */
  ablate(by: "zero" | "mean"): void {
    if (this.#count === 0) return;
    this.#submit({ count: this.#count }, (encoder) => this.#pass(encoder, [this.#planned.ablate[by]]));
  }

  /**
   * Replaces the chosen rows by the SAE's reconstruction.
   * @param errors f64 [d_out], to which the sums of x̂ − x are added.
   * @returns statistics f32 [chosen rows, rowStatistics].
   */
  async reconstruct(errors: Float64Array): Promise<Float32Array> {
    const { sae, gpu } = this.#options;
    for (const range of this.#chunks()) {
      this.#submit(range, (encoder) => {
        this.#pass(encoder, this.#planned.gather);
        sae.encode(encoder, range.count);
        this.#pass(encoder, [...this.#planned.replace, this.#planned.sumErrors]);
      });
      await this.#addSums(errors);
    }
    return readFloat32(gpu, this.#buffers.statistics!, 0, 4 * rowStatistics * this.#count);
  }

  close(): void {
    for (const buffer of Object.values(this.#buffers)) this.#options.gpu.ledger.free(buffer);
  }

  /** The chosen rows, as many at once as the SAE takes. */
  *#chunks(): Generator<RowRange> {
    const { rows } = this.#options.sae;
    for (let list = 0; list < this.#count; list += rows) {
      yield { list, count: Math.min(rows, this.#count - list) };
    }
  }

  #submit(range: RowRange, encode: (encoder: GPUCommandEncoder) => void): void {
    const { device } = this.#options.gpu;
    device.queue.writeBuffer(this.#buffers.range!, 0, packRowRange(range));
    device.queue.writeBuffer(this.#buffers.step!, 0, passStep(range.count));
    const encoder = device.createCommandEncoder({ label: "splice" });
    encode(encoder);
    device.queue.submit([encoder.finish()]);
  }

  #pass(encoder: GPUCommandEncoder, dispatches: readonly Dispatch[]): void {
    const pass = encoder.beginComputePass({ label: "splice" });
    encodeDispatches(pass, dispatches);
    pass.end();
  }

  async #addSums(sums: Float64Array): Promise<void> {
    const read = await readFloat32(this.#options.gpu, this.#buffers.sums!);
    for (let at = 0; at < read.length; at += this.#pitch) {
      for (let c = 0; c < sums.length; c++) sums[c]! += read[at + c]!;
    }
  }
}

/** Where a hook point's rows lie. */
function sideOf({ buffer, layout }: HookBuffer): RowsSide {
  return { buffer, pitch: pitch(layout), groups: { size: layout.size, pitch: groupPitch(layout) } };
}

async function plan(
  { gpu, sae, input, output, passRows }: SaeSpliceOptions,
  buffers: Record<string, GPUBuffer>,
  padded: number,
): Promise<Planned> {
  const { rows, config } = sae;
  const { d_in, d_out } = config;
  const b = (name: string) => buffers[name]!;
  const uniforms = new UniformArena(gpu, b("uniforms"));
  const context: CopyContext = { gpu, uniforms, range: b("range") };
  const chosen = { side: "from", rows: b("list") } as const;
  const gathered = (label: string, columns: number, from: HookBuffer, to: RowsSide) =>
    planCopyRows(context, {
      ...{ label, rows, width: columns, from: sideOf(from), to },
      ...{ list: chosen, counters: null },
    });
  const ablated = (row: GPUBuffer) =>
    planCopyRows(context, {
      label: "ablate",
      rows: passRows,
      width: d_out,
      from: { buffer: row, pitch: 0 },
      to: sideOf(output),
      list: { side: "to", rows: b("list") },
      counters: null,
    });
  const targets = buffers.targets ?? null;
  const gather = [await gathered("gather", d_in, input, { buffer: sae.input, pitch: d_in })];
  if (targets !== null) {
    gather.push(await gathered("gather targets", d_out, output, { buffer: targets, pitch: d_out }));
  }
  const sum = await planColumnSum(
    { gpu, uniforms, step: b("step") },
    { label: "splice", rows, stride: padded / 4 },
    { matrix: b("errors"), sums: b("sums"), rows: "batch" },
  );
  return {
    gather,
    replace: [
      await planReplaceRows(
        context,
        {
          rows,
          width: d_out,
          pitch: padded,
          y: {
            pitch: pitch(output.layout),
            size: output.layout.size,
            groupPitch: groupPitch(output.layout),
          },
          normalization: config.normalize_activations,
        },
        {
          reconstruction: sae.reconstruction,
          targets: targets ?? sae.input,
          mean: b("mean"),
          list: b("list"),
          y: output.buffer,
          errors: b("errors"),
          statistics: b("statistics"),
          norms: sae.norms,
        },
      ),
    ],
    ablate: { zero: await ablated(b("zero")), mean: await ablated(b("mean")) },
    sumOutput: [await gathered("gather", d_out, output, { buffer: b("errors"), pitch: padded }), sum],
    sumErrors: sum,
  };
}
