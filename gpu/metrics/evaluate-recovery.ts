import type { SyntheticSource } from "../data/synthetic.ts";
import { bufferUsage } from "../device/constants.ts";
import type { Gpu } from "../device/gpu.ts";
import { readFloat32 } from "../device/readback.ts";
import type { TrainingConfig } from "../sae/config.ts";
import type { SaeTensors } from "../sae/trainer.ts";
import {
  absoluteCosines,
  bestMatches,
  countFirings,
  emptyFiringCounts,
  firingScores,
  mcc,
  type Recovery,
  uniqueness,
} from "./recovery.ts";

/** Rows drawn on the GPU at a time. */
const batchRows = 1024;

/** Tokens worth scoring: enough for rates of rare features, few enough that encoding them on the CPU takes seconds. */
export function recoveryTokens(d_in: number, d_sae: number): number {
  return Math.min(16 * batchRows, Math.max(batchRows, Math.floor(2 ** 31 / (d_in * d_sae))));
}

/**
 * Scores an exported SAE (raw input space, SAELens' orientation) against its generator: MCC and uniqueness from the
 * decoder, firing scores from `tokens` fresh samples of the evaluation stream, encoded in float64 on the CPU.
 * Opens the source for itself and frees it again; yields to the event loop between batches.
 */
export async function evaluateRecovery(options: {
  gpu: Gpu;
  source: SyntheticSource;
  sae: SaeTensors;
  config: Pick<TrainingConfig, "k" | "apply_b_dec_to_input">;
  tokens?: number;
}): Promise<Recovery> {
  const { gpu, source, sae, config } = options;
  const { d_in, n_features } = source;
  const d_sae = sae.b_enc.data.length;
  const tokens = options.tokens ?? recoveryTokens(d_in, d_sae);
  const cosines = absoluteCosines(float32(sae.W_dec.data), source.dictionary, d_in);
  const match = bestMatches(cosines, n_features);
  const counts = emptyFiringCounts(match);
  const encode = topkEncoder(sae, config, d_in);

  const open = await source.open(gpu, batchRows);
  let target: GPUBuffer | null = null;
  try {
    const usage = bufferUsage.STORAGE | bufferUsage.COPY_SRC;
    target = gpu.ledger.allocate("recovery/x", 4 * batchRows * d_in, usage);
    for (let batch = 0; batch * batchRows < tokens; batch++) {
      await open.ready("evaluation", batch, batchRows);
      const encoder = gpu.device.createCommandEncoder({ label: "recovery" });
      open.encodeBatch(encoder, target, "evaluation", batch, batchRows);
      gpu.device.queue.submit([encoder.finish()]);
      const x = await readFloat32(gpu, target);
      const activations = await readFloat32(gpu, open.activations);
      for (let row = 0; row < Math.min(batchRows, tokens - batch * batchRows); row++) {
        const latents = encode(x.subarray(row * d_in, (row + 1) * d_in));
        countFirings(counts, latents, activations.subarray(row * n_features, (row + 1) * n_features));
      }
    }
  } finally {
    if (target) gpu.ledger.free(target);
    open.close();
  }
  return {
    mcc: mcc(cosines, d_sae, n_features),
    uniqueness: uniqueness(match),
    ...firingScores(counts),
    n_features,
  };
}

/** x [d_in] -> f [d_sae]: ReLU of the k largest pre-activations, the lowest index first among equals. */
function topkEncoder(
  sae: SaeTensors,
  { k, apply_b_dec_to_input }: Pick<TrainingConfig, "k" | "apply_b_dec_to_input">,
  d_in: number,
): (x: Float32Array) => Float64Array {
  const W_enc = sae.W_enc.data;
  const d_sae = sae.b_enc.data.length;
  const z = new Float64Array(d_sae);
  const f = new Float64Array(d_sae);
  const order = new Uint32Array(d_sae);
  return (x) => {
    z.set(sae.b_enc.data);
    for (let input = 0; input < d_in; input++) {
      const value = x[input]! - (apply_b_dec_to_input ? sae.b_dec.data[input]! : 0);
      const start = input * d_sae;
      for (let latent = 0; latent < d_sae; latent++) z[latent]! += value * W_enc[start + latent]!;
    }
    // Silent pre-activations cannot fire, so only the positive ones are ranked.
    let positive = 0;
    for (let latent = 0; latent < d_sae; latent++) if (z[latent]! > 0) order[positive++] = latent;
    const ranked = order.subarray(0, positive);
    if (positive > k) ranked.sort((a, b) => z[b]! - z[a]! || a - b);
    f.fill(0);
    for (const latent of ranked.subarray(0, k)) f[latent] = z[latent]!;
    return f;
  };
}

function float32(data: Float32Array | Uint32Array): Float32Array {
  if (data instanceof Float32Array) return data;
  throw new TypeError("The decoder's weights are not float32.");
}
