import { bufferUsage } from "../device/constants.ts";
import { type Dispatch, encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { readUint32 } from "../device/readback.ts";
import { type ActivationRule, planActivate } from "../kernels/activate.ts";
import { controlBytes, counterBytes, divergedStep } from "../kernels/control.ts";
import { planDecode } from "../kernels/decode.ts";
import { planEncode } from "../kernels/encode.ts";
import { featureStride } from "../kernels/feature-gradient.ts";
import { planFirings } from "../kernels/firings.ts";
import type { PlanContext } from "../kernels/grid.ts";
import { planListActive } from "../kernels/list-active.ts";
import { planPrepare } from "../kernels/prepare.ts";
import { planSelect } from "../kernels/select.ts";
import { packStep, stepUniformBytes } from "../kernels/step.ts";
import { planTokenNorms } from "../kernels/token-norms.ts";
import { UniformArena, uniformSlotBytes } from "../kernels/uniforms.ts";
import { transposed } from "./initialize.ts";
import type { Sae, SaeConfig } from "./sae.ts";
import { saeFaults, saeTensor } from "./sae-shapes.ts";

/** Largest matrix of pre-activations, which bounds memory whatever the SAE's size. */
const preActivationBytes = 64 * 2 ** 20;
/** Kernels of a pass at most. */
const mostKernels = 8;
/** Lists of active features beyond an eighth of the dictionary are read from the bits. */
const leastCapacity = 256;

interface Sizes {
  rows: number;
  stride_in: number;
  stride_out: number;
  feature_stride: number;
  /** Words of a plane of activation bits, and planes. */
  plane: number;
  planes: number;
  capacity: number;
  regions: number;
  region_size: number;
}

function sizesOf({ activation, d_in, d_out, d_sae, k }: SaeConfig, mostRows: number): Sizes {
  const rows = Math.max(1, Math.min(mostRows, Math.floor(preActivationBytes / (4 * d_sae))));
  const stride_out = Math.ceil(d_out / 4);
  return {
    rows,
    stride_in: Math.ceil(d_in / 4),
    stride_out,
    feature_stride: featureStride(d_sae),
    plane: Math.ceil(rows / 32) * d_sae,
    planes: activation === "gated" || activation === "jumprelu" ? 2 : 1,
    capacity: Math.min(d_sae, k ?? Math.max(leastCapacity, Math.ceil(d_sae / 8))),
    regions: activation === "gated" ? 2 : 1,
    region_size: Math.ceil((rows * stride_out) / 16) * 16,
  };
}

type Buffers = Record<string, GPUBuffer>;

/**
 * An SAE for use (sae.ts) on the GPU: rows of raw activations to their reconstruction in the SAE's normalised space, as
 * many at once as `rows` says, and how often each feature fires.
 */
export class SaeOnGpu {
  readonly config: SaeConfig;
  /** Most rows of one run. */
  readonly rows: number;
  /** f32 [rows, d_in], to be written before a run. */
  readonly input: GPUBuffer;
  /** f32 [rows, 4·⌈d_out / 4⌉], before per-token normalisation is undone. */
  readonly reconstruction: GPUBuffer;
  /** (shift, factor) f32 [rows, 2] of per-token normalisation; null where there is none. */
  readonly norms: GPUBuffer | null;
  readonly #gpu: Gpu;
  readonly #buffers: Buffers;
  readonly #dispatches: readonly Dispatch[];

  private constructor(gpu: Gpu, config: SaeConfig, rows: number, buffers: Buffers, dispatches: Dispatch[]) {
    this.config = config;
    this.rows = rows;
    this.input = buffers.input!;
    this.reconstruction = buffers.errors!;
    this.norms = buffers.norms ?? null;
    this.#gpu = gpu;
    this.#buffers = buffers;
    this.#dispatches = dispatches;
  }

  /** Bytes that the ledger holds of an SAE opened so. */
  static bytes(config: SaeConfig, mostRows: number): number {
    const planned = plannedBuffers(config, sizesOf(config, mostRows));
    return planned.reduce((sum, [, words]) => sum + 4 * words, 0);
  }

  /** Rows of one run of an SAE opened so. */
  static rows(config: SaeConfig, mostRows: number): number {
    return sizesOf(config, mostRows).rows;
  }

  /**
   * @param mostRows rows that are of use at once.
   * @throws RangeError for an SAE with faults, and for crosscoders; the ledger's errors; nothing stays allocated then.
   */
  static async open(gpu: Gpu, sae: Sae, mostRows: number): Promise<SaeOnGpu> {
    const faults = saeFaults(sae);
    if (sae.config.n_hook_points > 1) faults.push("A crosscoder has several hook points, not one.");
    if (sae.config.skip && sae.config.apply_b_dec_to_input) {
      faults.push("A skip connection reads the input itself, not the input less b_dec.");
    }
    if (faults.length > 0) throw new RangeError(`The SAE cannot be used: ${faults.join(" ")}`);
    const sizes = sizesOf(sae.config, mostRows);
    const buffers: Buffers = {};
    try {
      for (const [name, words, usage] of plannedBuffers(sae.config, sizes)) {
        buffers[name] = gpu.ledger.allocate(`SAE/${name}`, 4 * words, usage);
      }
      upload(gpu, sae, sizes, buffers);
      return new SaeOnGpu(gpu, sae.config, sizes.rows, buffers, await plan(gpu, sae.config, sizes, buffers));
    } catch (refused) {
      for (const buffer of Object.values(buffers)) gpu.ledger.free(buffer);
      throw refused;
    }
  }

  /** Encodes a run over the first rows of the input. Submit before the next: it writes a uniform. */
  encode(encoder: GPUCommandEncoder, rows: number): void {
    this.#gpu.device.queue.writeBuffer(
      this.#buffers.step!,
      0,
      packStep({
        rows,
        number: 1,
        step_size: 0,
        second_moment_scale: 1,
        sparsity_coefficient: 0,
        k: this.config.k ?? 0,
        threshold_scale: 1,
      }),
    );
    encoder.clearBuffer(this.#buffers.words!);
    const pass = encoder.beginComputePass({ label: "SAE" });
    encodeDispatches(pass, this.#dispatches);
    pass.end();
  }

  /** Rows on which each feature has fired in all runs so far, u32 [d_sae]. */
  firings(): Promise<Uint32Array> {
    return readUint32(this.#gpu, this.#buffers.firings!);
  }

  /** Whether every pre-activation so far was finite. */
  async finite(): Promise<boolean> {
    const [mark] = await readUint32(this.#gpu, this.#buffers.counters!);
    return divergedStep(mark!) === null;
  }

  close(): void {
    for (const buffer of Object.values(this.#buffers)) this.#gpu.ledger.free(buffer);
  }
}

function plannedBuffers(config: SaeConfig, sizes: Sizes): [name: string, words: number, usage: number][] {
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;
  const { activation, d_in, d_sae, skip, normalize_activations, rescale_acts_by_decoder_norm } = config;
  const { rows, stride_in, stride_out, feature_stride } = sizes;
  const given = STORAGE | COPY_DST;
  const parameters = activation === "gated" ? 3 : activation === "jumprelu" ? 2 : 0;
  return [
    ["step", stepUniformBytes / 4, UNIFORM | COPY_DST],
    ["uniforms", (mostKernels * uniformSlotBytes) / 4, UNIFORM | COPY_DST],
    ["counters", counterBytes / 4, STORAGE | COPY_SRC],
    ["control", controlBytes(d_sae, 0) / 4, STORAGE],
    ["firings", d_sae, STORAGE | COPY_SRC],
    ["input", rows * d_in, STORAGE],
    normalize_activations === "none" ? ["columns", 1 + d_in, given] : ["norms", 2 * rows, STORAGE],
    ["x", 4 * rows * stride_in, STORAGE],
    ["W_enc", 4 * d_sae * stride_in, given],
    ...(activation === "gated" ? [] : [["b_enc", d_sae, given] as [string, number, number]]),
    ...(parameters === 0
      ? []
      : [["parameters", parameters * feature_stride, given] as [string, number, number]]),
    ...(rescale_acts_by_decoder_norm ? [["decoder_norms", d_sae, given] as [string, number, number]] : []),
    ["z", rows * d_sae, STORAGE],
    ["words", sizes.planes * sizes.plane, STORAGE | COPY_DST],
    ["indices", rows * sizes.capacity, STORAGE],
    ["counts", rows, STORAGE],
    ["W_dec", 4 * d_sae * stride_out, given],
    ["b_dec", 4 * stride_out, given],
    ...(skip
      ? ([
          ["W_skip", 16 * stride_out * stride_in, given],
          ["skipped", 4 * rows * stride_out, STORAGE],
        ] as [string, number, number][])
      : []),
    // Zeros: the decoder gives errors, and those from nothing are the reconstruction.
    ["nothing", 4 * rows * stride_out, STORAGE],
    ["errors", 4 * sizes.regions * sizes.region_size, STORAGE],
  ];
}

/** Rows of `width` numbers, each filled up with zeros to whole vec4f. */
function padded(data: Float32Array, width: number): Float32Array<ArrayBuffer> {
  const pitch = 4 * Math.ceil(width / 4);
  const rows = data.length / width;
  const result = new Float32Array(rows * pitch);
  for (let row = 0; row < rows; row++) {
    result.set(data.subarray(row * width, (row + 1) * width), row * pitch);
  }
  return result;
}

function upload({ device }: Gpu, sae: Sae, { feature_stride }: Sizes, buffers: Buffers): void {
  const { activation, d_in, d_out, d_sae, skip, rescale_acts_by_decoder_norm } = sae.config;
  const write = (name: string, data: Float32Array<ArrayBuffer>, offset = 0) =>
    device.queue.writeBuffer(buffers[name]!, offset, data);
  const tensor = (name: string) => Float32Array.from(saeTensor(sae, name));
  const parameter = (row: number, data: Float32Array<ArrayBuffer>) =>
    write("parameters", data, 4 * row * feature_stride);
  write("W_enc", padded(transposed(saeTensor(sae, "W_enc"), d_in, d_sae), d_in));
  write("W_dec", padded(saeTensor(sae, "W_dec"), d_out));
  write("b_dec", padded(saeTensor(sae, "b_dec"), d_out));
  if (buffers.columns !== undefined) write("columns", Float32Array.of(1));
  if (skip) write("W_skip", padded(saeTensor(sae, "W_skip"), d_in));
  if (activation === "gated") {
    for (const [row, name] of ["b_gate", "b_mag", "r_mag"].entries()) parameter(row, tensor(name));
  } else write("b_enc", tensor("b_enc"));
  if (activation === "jumprelu") {
    parameter(0, tensor("b_enc"));
    // max(z, 0) [z > θ] is above zero where z > max(θ, 0).
    parameter(
      1,
      tensor("threshold").map((theta) => Math.max(theta, 0)),
    );
  }
  if (rescale_acts_by_decoder_norm) write("decoder_norms", rowNorms(saeTensor(sae, "W_dec"), d_out));
}

function rowNorms(W: Float32Array, width: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: W.length / width }, (_, row) => {
    let square = 0;
    for (const w of W.subarray(row * width, (row + 1) * width)) square += w * w;
    return Math.sqrt(square);
  });
}

async function plan(gpu: Gpu, config: SaeConfig, sizes: Sizes, buffers: Buffers): Promise<Dispatch[]> {
  const { activation, d_in, d_sae, skip, normalize_activations: method, apply_b_dec_to_input } = config;
  const { rows, stride_in, stride_out, plane, capacity, feature_stride, region_size } = sizes;
  const b = (name: string) => buffers[name]!;
  const context: PlanContext = { gpu, uniforms: new UniformArena(gpu, b("uniforms")), step: b("step") };
  const dispatches: Dispatch[] = [];
  if (method !== "none") {
    const shape = { rows, width: d_in, method };
    dispatches.push(await planTokenNorms(context, shape, { raw: b("input"), norms: b("norms") }));
  }
  dispatches.push(
    await planPrepare(
      context,
      { label: "input", rows, raw_width: d_in, first: 0, width: d_in, stride: stride_in, points: 1 },
      {
        raw: b("input"),
        x: b("x"),
        normalization: method === "none" ? { columns: b("columns") } : { tokens: b("norms") },
        b_dec: apply_b_dec_to_input ? b("b_dec") : null,
        halves: null,
      },
    ),
    await planEncode(
      context,
      { label: "encode", rows, d_sae, stride: stride_in, half: false },
      {
        x: b("x"),
        W: b("W_enc"),
        bias: activation === "gated" ? null : { buffer: b("b_enc") },
        z: b("z"),
        counters: b("counters"),
      },
    ),
  );
  if (skip) {
    dispatches.push(
      await planEncode(
        context,
        { label: "encode/skip", rows, d_sae: 4 * stride_out, stride: stride_in, half: false },
        { x: b("x"), W: b("W_skip"), bias: null, z: b("skipped"), counters: b("counters") },
      ),
    );
  }
  if (activation === "topk") {
    dispatches.push(
      await planSelect(
        context,
        { rows, d_sae, capacity, factor: 1, plane: 0 },
        {
          z: b("z"),
          indices: b("indices"),
          words: b("words"),
          list: { counts: b("counts") },
          norms: buffers.decoder_norms ?? null,
        },
      ),
    );
  } else {
    const rule: ActivationRule =
      activation === "relu"
        ? { rule: "standard" }
        : activation === "gated"
          ? { rule: "gated", parameters: b("parameters") }
          : { rule: "jumprelu", parameters: b("parameters"), bandwidth: 0 };
    const written = { words: b("words"), indices: b("indices"), counts: b("counts") };
    dispatches.push(
      await planActivate(context, { rows, d_sae, feature_stride, plane }, rule, {
        z: b("z"),
        words: b("words"),
      }),
      await planListActive(context, { rows, d_sae, capacity, plane: 0 }, written),
    );
  }
  dispatches.push(
    await planDecode(
      context,
      {
        ...{ rows, d_sae, stride: stride_out, capacity, feature_stride, region_size },
        ...{ plane: 0, widths: [d_sae], half: false },
      },
      { W_dec: b("W_dec"), z: b("z"), indices: b("indices"), errors: b("errors") },
      {
        regions: activation === "gated" ? "gated" : "plain",
        counts: b("counts"),
        words: b("words"),
        target: b("nothing"),
        b_dec: b("b_dec"),
        skipped: skip ? b("skipped") : null,
        parameters: buffers.parameters ?? b("b_dec"),
      },
    ),
    await planFirings(
      context,
      { rows, d_sae },
      { words: b("words"), control: b("control"), keep: { firings: b("firings") } },
    ),
  );
  return dispatches;
}
