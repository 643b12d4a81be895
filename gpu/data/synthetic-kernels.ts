import { bufferUsage } from "../device/constants.ts";
import type { Gpu } from "../device/gpu.ts";
import type { GroundTruth } from "./ground-truth.ts";
import type { BatchStream } from "./source.ts";
import { type OpenSyntheticSource, type SyntheticConfig, streamKey } from "./synthetic.ts";

const WORKGROUP = 64;
/** Bytes of `Batch` and of one `Feature` in shaders/synthetic.wgsl. */
const BATCH_BYTES = 28;
const FEATURE_BYTES = 32;

/** Features an invocation of `draw` and `gate` takes, and columns one of `embed` sums. */
const featuresPerWord = 32;
const columnsPerChunk = 16;

/** Sizes in bytes of every buffer of an open generator; the plan and the allocation share it. */
function bufferBytes(config: SyntheticConfig, maxRows: number): Record<string, number> {
  const { n_features, correlation_rank } = config;
  const sizes: Record<string, number> = {
    batch: BATCH_BYTES,
    features: FEATURE_BYTES * n_features,
    dictionary: 4 * (1 + n_features) * paddedColumns(config),
    drawn: 4 * maxRows * n_features,
    firing: 4 * maxRows * Math.ceil(n_features / featuresPerWord),
  };
  if (correlation_rank > 0) {
    sizes.loadings = 4 * n_features * paddedRank(config);
    sizes.factors = 4 * maxRows * paddedRank(config);
  }
  if (config.hierarchy_roots > 0) sizes.gated = 4 * maxRows * n_features;
  return sizes;
}

/** Hidden causes in fours. */
function paddedRank({ correlation_rank }: SyntheticConfig): number {
  return 4 * Math.ceil(correlation_rank / 4);
}

function paddedColumns({ d_in }: SyntheticConfig): number {
  return columnsPerChunk * Math.ceil(d_in / columnsPerChunk);
}

/** Bytes on the GPU of a generator open for batches of up to `maxRows`. */
export function syntheticGpuBytes(config: SyntheticConfig, maxRows: number): number {
  return Object.values(bufferBytes(config, maxRows)).reduce((sum, bytes) => sum + bytes, 0);
}

/** Uploads the generator's constants and plans its dispatches: two a batch, one more each for correlation and hierarchy. */
export async function openSyntheticKernels(
  gpu: Gpu,
  config: SyntheticConfig,
  truth: GroundTruth,
  maxRows: number,
): Promise<OpenSyntheticSource> {
  const { device, ledger, pipelines } = gpu;
  const correlated = config.correlation_rank > 0;
  const hierarchical = config.hierarchy_roots > 0;

  const pipeline = (entryPoint: string) =>
    pipelines.compute({
      shader: "synthetic",
      entryPoint,
      conditions: {
        correlated,
        exclusive: config.mutually_exclusive_children,
        scaled: config.scale_children_by_parent,
      },
    });
  const [drawFactors, draw, gate, embed] = await Promise.all([
    correlated ? pipeline("draw_factors") : null,
    pipeline("draw"),
    hierarchical ? pipeline("gate") : null,
    pipeline("embed"),
  ]);

  const buffers = new Map<string, GPUBuffer>();
  const close = () => {
    for (const buffer of buffers.values()) ledger.free(buffer);
    buffers.clear();
  };
  try {
    for (const [name, bytes] of Object.entries(bufferBytes(config, maxRows))) {
      const usage =
        name === "batch"
          ? bufferUsage.UNIFORM | bufferUsage.COPY_DST
          : bufferUsage.STORAGE | bufferUsage.COPY_DST | bufferUsage.COPY_SRC;
      buffers.set(name, ledger.allocate(`synthetic/${name}`, bytes, usage));
    }
  } catch (error) {
    close();
    throw error;
  }
  const buffer = (name: string) => {
    const found = buffers.get(name);
    if (!found)
      throw new Error(`The generator's ${name} buffer is not there: it was closed or never opened.`);
    return found;
  };
  const bind = (of: GPUComputePipeline, entries: Record<number, GPUBuffer>) =>
    device.createBindGroup({
      layout: of.getBindGroupLayout(0),
      entries: Object.entries(entries).map(([binding, resource]) => ({
        binding: Number(binding),
        resource: { buffer: resource },
      })),
    });

  device.queue.writeBuffer(buffer("features"), 0, packFeatures(config, truth));
  device.queue.writeBuffer(buffer("dictionary"), 0, packDictionary(config, truth));
  if (correlated) device.queue.writeBuffer(buffer("loadings"), 0, packLoadings(config, truth));

  const activations = buffer(hierarchical ? "gated" : "drawn");
  const batchBuffer = buffer("batch");
  const sampling: { pipeline: GPUComputePipeline; group: GPUBindGroup; perRow: number }[] = [];
  if (drawFactors) {
    const group = bind(drawFactors, { 0: batchBuffer, 3: buffer("factors") });
    sampling.push({ pipeline: drawFactors, group, perRow: config.correlation_rank });
  }
  const drawBindings = { 0: batchBuffer, 1: buffer("features"), 4: buffer("drawn"), 6: buffer("firing") };
  const drawGroup = correlated
    ? bind(draw, { ...drawBindings, 2: buffer("loadings"), 10: buffer("factors") })
    : bind(draw, drawBindings);
  sampling.push({ pipeline: draw, group: drawGroup, perRow: Math.ceil(config.n_features / featuresPerWord) });
  if (gate) {
    const group = bind(gate, {
      0: batchBuffer,
      1: buffer("features"),
      4: buffer("drawn"),
      5: buffer("gated"),
      6: buffer("firing"),
    });
    sampling.push({ pipeline: gate, group, perRow: Math.ceil(config.n_features / featuresPerWord) });
  }

  const embedGroups = new WeakMap<GPUBuffer, GPUBindGroup>();
  const embedGroup = (target: GPUBuffer) => {
    const known = embedGroups.get(target);
    if (known) return known;
    const made = bind(embed, {
      0: batchBuffer,
      6: buffer("firing"),
      7: activations,
      8: buffer("dictionary"),
      9: target,
    });
    embedGroups.set(target, made);
    return made;
  };

  const largest = device.limits.maxComputeWorkgroupsPerDimension;
  const dispatch = (pass: GPUComputePassEncoder, invocations: number) => {
    const groups = Math.ceil(invocations / WORKGROUP);
    const y = Math.ceil(groups / largest);
    pass.dispatchWorkgroups(Math.ceil(groups / y), y);
  };

  return {
    activations,
    // Nothing to read ahead: a batch is made where it is used.
    ready: () => Promise.resolve(),
    encodeBatch(encoder, target, stream, batch, rows) {
      if (rows > maxRows) {
        throw new RangeError(`A batch of ${rows} rows was asked of a generator opened for ${maxRows}.`);
      }
      device.queue.writeBuffer(batchBuffer, 0, packBatch(config, stream, batch, rows));
      const pass = encoder.beginComputePass({ label: "synthetic" });
      for (const { pipeline, group, perRow } of sampling) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        dispatch(pass, rows * perRow);
      }
      pass.setPipeline(embed);
      pass.setBindGroup(0, embedGroup(target));
      dispatch(pass, rows * Math.ceil(config.d_in / columnsPerChunk));
      pass.end();
    },
    close,
  };
}

function packBatch(
  config: SyntheticConfig,
  stream: BatchStream,
  batch: number,
  rows: number,
): Uint32Array<ArrayBuffer> {
  const token = batch * rows;
  return new Uint32Array([
    token % 2 ** 32,
    Math.floor(token / 2 ** 32),
    streamKey(config.seed, stream),
    rows,
    config.n_features,
    config.correlation_rank,
    config.d_in,
  ]);
}

function packFeatures(config: SyntheticConfig, truth: GroundTruth): ArrayBuffer {
  const packed = new ArrayBuffer(FEATURE_BYTES * config.n_features);
  const words = new Uint32Array(packed);
  const floats = new Float32Array(packed);
  for (let i = 0; i < config.n_features; i++) {
    const at = (i * FEATURE_BYTES) / 4;
    words[at] = fireBelow(truth.draw_probability[i]!);
    floats[at + 1] = truth.threshold[i]!;
    floats[at + 2] = truth.residual[i]!;
    floats[at + 3] = truth.magnitude_mean[i]!;
    floats[at + 4] = truth.magnitude_std[i]!;
    words[at + 5] = truth.parent[i]!;
    words[at + 6] = truth.first_sibling[i]!;
    words[at + 7] = truth.n_siblings[i]!;
  }
  return packed;
}

/** Random words below this fire: a 32-bit share of `probability`. */
export function fireBelow(probability: number): number {
  return Math.min(0xffffffff, Math.round(probability * 2 ** 32));
}

/** L, rows padded with zeros. */
function packLoadings(config: SyntheticConfig, truth: GroundTruth): Float32Array<ArrayBuffer> {
  const { n_features, correlation_rank: rank } = config;
  const packed = new Float32Array(n_features * paddedRank(config));
  for (let i = 0; i < n_features; i++) {
    packed.set(truth.loadings.subarray(i * rank, (i + 1) * rank), i * paddedRank(config));
  }
  return packed;
}

/** b, then D's rows, columns padded with zeros. */
function packDictionary(config: SyntheticConfig, truth: GroundTruth): Float32Array<ArrayBuffer> {
  const { n_features, d_in } = config;
  const columns = paddedColumns(config);
  const packed = new Float32Array((1 + n_features) * columns);
  packed.set(truth.bias);
  for (let i = 0; i < n_features; i++) {
    packed.set(truth.dictionary.subarray(i * d_in, (i + 1) * d_in), (1 + i) * columns);
  }
  return packed;
}
