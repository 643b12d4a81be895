import { writeFile } from "node:fs/promises";
import type { GroundTruth } from "../../gpu/data/ground-truth.ts";
import { NO_PARENT } from "../../gpu/data/hierarchy.ts";
import { safetensorsHeader, safetensorsPieces } from "../../gpu/data/safetensors.ts";
import type { SyntheticConfig, SyntheticSource } from "../../gpu/data/synthetic.ts";
import { bufferUsage } from "../../gpu/device/constants.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";
import { writeWholeFile } from "../artifacts/atomic-file.ts";

/** Rows drawn and written at a time. */
const rowsTogether = 1_024;

/** Paths of what `writeSamples` leaves. */
export interface SampleFiles {
  activations: string;
  truth: string;
  config: string;
}

/** `acts.safetensors`, `acts.truth.safetensors` and `acts.config.json`, whichever way the first is named. */
export function sampleFiles(out: string): SampleFiles {
  const stem = out.replace(/\.safetensors$/, "");
  return {
    activations: out,
    truth: `${stem}.truth.safetensors`,
    config: `${stem}.config.json`,
  };
}

/**
 * Writes the first `tokens` samples of the generator's training stream, F32 `activations` [tokens, d_in], and what they
 * were made of: `dictionary` [n_features, d_in], `bias` [d_in], and per feature `firing_probability`, `firing_rate`,
 * `magnitude_mean`, `magnitude_std` and `parent` (U32, 4294967295 for none). The samples stand under their name only
 * once they are whole. Throws `StorageError`, and the signal's reason.
 */
export async function writeSamples(options: {
  gpu: Gpu;
  source: SyntheticSource;
  tokens: number;
  out: string;
  /** Name of what was generated, for the file's metadata. */
  dataset: string;
  onRows(done: number): void;
  signal: AbortSignal;
}): Promise<SampleFiles> {
  const { source, tokens, out, dataset } = options;
  const files = sampleFiles(out);
  const shape = [tokens, source.d_in];
  const header = safetensorsHeader([{ name: "activations", shape, dtype: "F32" }], {
    dataset_name: dataset,
    hook_name: "synthetic",
  });
  await writeWholeFile(
    out,
    async (file) => {
      const truth = await source.prepare(options.gpu);
      await file.writeFile(header);
      for await (const rows of samples(options)) await file.writeFile(rows);
      await writeFile(files.truth, Buffer.concat(truthPieces(source.config, truth)));
      await writeFile(files.config, `${JSON.stringify(source.config, null, 2)}\n`);
    },
    header.byteLength + 4 * tokens * source.d_in,
  );
  return files;
}

async function* samples({
  gpu,
  source,
  tokens,
  onRows,
  signal,
}: Parameters<typeof writeSamples>[0]): AsyncGenerator<Uint8Array> {
  const opened = await source.open(gpu, rowsTogether);
  let target: GPUBuffer | null = null;
  try {
    const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC;
    target = gpu.ledger.allocate("samples", 4 * rowsTogether * source.d_in, usage);
    for (let batch = 0; batch * rowsTogether < tokens; batch++) {
      signal.throwIfAborted();
      await opened.ready("training", batch, rowsTogether);
      const encoder = gpu.device.createCommandEncoder({ label: "samples" });
      opened.encodeBatch(encoder, target, "training", batch, rowsTogether);
      gpu.device.queue.submit([encoder.finish()]);
      const rows = Math.min(rowsTogether, tokens - batch * rowsTogether);
      const x = await readFloat32(gpu, target, 0, 4 * rows * source.d_in);
      yield new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
      onRows(batch * rowsTogether + rows);
    }
  } finally {
    if (target) gpu.ledger.free(target);
    opened.close();
  }
}

function truthPieces({ n_features, d_in }: SyntheticConfig, truth: GroundTruth): Uint8Array[] {
  const perFeature = (name: string, data: Float32Array | Uint32Array) => ({
    name,
    shape: [n_features],
    data,
  });
  return safetensorsPieces(
    [
      { name: "dictionary", shape: [n_features, d_in], data: truth.dictionary },
      { name: "bias", shape: [d_in], data: truth.bias },
      perFeature("firing_probability", Float32Array.from(truth.firing_probability)),
      perFeature("firing_rate", Float32Array.from(truth.firing_rate)),
      perFeature("magnitude_mean", truth.magnitude_mean),
      perFeature("magnitude_std", truth.magnitude_std),
      perFeature("parent", truth.parent),
    ],
    { no_parent: String(NO_PARENT) },
  );
}
