import type { SyntheticSource } from "../data/synthetic.ts";
import { bufferUsage } from "../device/constants.ts";
import type { Gpu } from "../device/gpu.ts";
import { readFloat32 } from "../device/readback.ts";
import { decode, encode } from "../sae/inference.ts";
import type { Sae } from "../sae/sae.ts";
import { saeTensor } from "../sae/sae-shapes.ts";
import { absoluteCosines, bestMatches, mcc, uniqueness } from "./matching.ts";
import { type Recovery, RecoveryTotals } from "./recovery.ts";
import { Turns } from "./turns.ts";

/** Rows drawn on the GPU at a time. */
const batchRows = 1_024;
/** Multiply-adds between two turns of the event loop: some tens of milliseconds. */
const together = 2 ** 26;

/** Tokens worth scoring: enough for rates of rare features, few enough that encoding them on the CPU takes seconds. */
export function recoveryTokens(d_in: number, d_sae: number): number {
  return Math.min(16 * batchRows, Math.max(4 * batchRows, Math.floor(2 ** 33 / (d_in * d_sae))));
}

/** Why an SAE cannot be compared with the true features of activations of width d_in, in a sentence; null if it can. */
export function comparable({ config }: Sae, d_in: number): string | null {
  if (config.transcoder || config.n_hook_points > 1) {
    return "Decoder rows of transcoders and crosscoders are no directions of the activations, so they cannot be compared with true features.";
  }
  if (config.d_in === d_in) return null;
  return `The SAE reads activations of width ${config.d_in}, but the true features have width ${d_in}.`;
}

/**
 * Scores an SAE for raw activations against its generator: MCC and uniqueness from the decoder, the rest from `tokens`
 * fresh samples of the evaluation stream, encoded in float64 on the CPU. Every kind of SAE but transcoders and
 * crosscoders, whose decoder rows are no true features. Opens the source for itself and frees it again; lets the event
 * loop in now and then.
 */
export async function evaluateRecovery(options: {
  gpu: Gpu;
  source: SyntheticSource;
  sae: Sae;
  tokens?: number;
}): Promise<Recovery> {
  const { gpu, source, sae } = options;
  const { d_in, n_features } = source;
  const { d_sae } = sae.config;
  const fault = comparable(sae, d_in);
  if (fault !== null) throw new RangeError(fault);
  const tokens = options.tokens ?? recoveryTokens(d_in, d_sae);
  const { dictionary } = await source.prepare(gpu);
  const cosines = await absoluteCosines(saeTensor(sae, "W_dec"), dictionary, d_in);
  const match = bestMatches(cosines, n_features);
  const totals = new RecoveryTotals(match, d_in, n_features);
  const turns = new Turns();
  const rowsTogether = Math.max(1, Math.floor(together / (d_in * d_sae)));
  await drawTokens(gpu, source, tokens, async (x, features, rows) => {
    for (let first = 0; first < rows; first += rowsTogether) {
      const count = Math.min(rowsTogether, rows - first);
      const inputs = x.subarray(first * d_in, (first + count) * d_in);
      const latents = encode(sae, inputs);
      const outputs = decode(sae, latents, inputs);
      for (let row = 0; row < count; row++) {
        totals.add(
          part(inputs, row, d_in),
          part(outputs, row, d_in),
          part(latents, row, d_sae),
          part(features, first + row, n_features),
        );
      }
      await turns.pause();
    }
  });
  return {
    mcc: await mcc(cosines, d_sae, n_features),
    uniqueness: uniqueness(match),
    ...totals.result(),
    n_features,
  };
}

/** Row of [rows, columns]. */
function part<T extends Float32Array | Float64Array>(matrix: T, row: number, columns: number): T {
  return matrix.subarray(row * columns, (row + 1) * columns) as T;
}

/** Hands over activations x [batchRows, d_in] and true activations, of which the first `rows` count. */
async function drawTokens(
  gpu: Gpu,
  source: SyntheticSource,
  tokens: number,
  use: (x: Float32Array, features: Float32Array, rows: number) => Promise<void>,
): Promise<void> {
  const open = await source.open(gpu, batchRows);
  let target: GPUBuffer | null = null;
  try {
    const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC;
    target = gpu.ledger.allocate("recovery/x", 4 * batchRows * source.d_in, usage);
    for (let batch = 0; batch * batchRows < tokens; batch++) {
      await open.ready("evaluation", batch, batchRows);
      const encoder = gpu.device.createCommandEncoder({ label: "recovery" });
      open.encodeBatch(encoder, target, "evaluation", batch, batchRows);
      gpu.device.queue.submit([encoder.finish()]);
      const x = await readFloat32(gpu, target);
      const features = await readFloat32(gpu, open.activations);
      await use(x, features, Math.min(batchRows, tokens - batch * batchRows));
    }
  } finally {
    if (target) gpu.ledger.free(target);
    open.close();
  }
}
