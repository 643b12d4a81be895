import type { Gpu } from "../gpu/device/gpu.ts";
import type { Clock, ProfiledLabel } from "../gpu/device/profiler.ts";
import { openLanguageModel } from "../gpu/lm/language-model.ts";
import { type LmCase, lmHook, lmSpec } from "./lm-cases.ts";
import { randomWeights } from "./random-weights.ts";
import { type Summary, summarize } from "./summary.ts";

/** What a forward pass took, before roofs are known. */
export interface MeasuredLmCase {
  case: LmCase;
  n_layers: number;
  d_model: number;
  /** Whole passes to the last block, its activations read back. */
  tokens_per_second: Summary;
  passes_per_repetition: number;
  /** Operations of all kernels of a pass, by their formulas. */
  flops_per_token: number;
  /** Bytes the ledger held for the model, and the seconds it took to load. */
  gpu_bytes: number;
  load_seconds: number;
  clock: Clock;
  labels: ProfiledLabel[];
}

export interface LmEffort {
  repetitions: number;
  /** Shortest repetition, ms. */
  repetitionMs: number;
  profiledPasses: number;
}

/** Times the forward pass of a case up to its last block. */
export async function measureLmCase(gpu: Gpu, lmCase: LmCase, effort: LmEffort): Promise<MeasuredLmCase> {
  const { precision, n_sequences, length } = lmCase;
  const spec = lmSpec(lmCase);
  const held = gpu.ledger.used;
  const began = performance.now();
  const model = await openLanguageModel({
    ...{ gpu, spec, weights: randomWeights(spec), precision, n_sequences, length },
    hooks: [lmHook(spec)],
  });
  try {
    const load_seconds = (performance.now() - began) / 1000;
    const tokens = n_sequences * length;
    const ids = Uint32Array.from({ length: tokens }, (_, i) => (i * 7919) % spec.d_vocab);
    const seconds = async (passes: number) => {
      const start = performance.now();
      for (let pass = 0; pass < passes; pass++) await model.forward(ids);
      return (performance.now() - start) / 1000;
    };
    await seconds(1);
    const passes = Math.max(1, Math.ceil(effort.repetitionMs / 1000 / (await seconds(1))));
    const rates: number[] = [];
    for (let i = 0; i < effort.repetitions; i++) rates.push((passes * tokens) / (await seconds(passes)));
    const gpu_bytes = gpu.ledger.used - held;
    const { clock, labels } = await model.profile(ids, effort.profiledPasses);
    return {
      case: lmCase,
      n_layers: spec.n_layers,
      d_model: spec.d_model,
      tokens_per_second: summarize(rates),
      passes_per_repetition: passes,
      flops_per_token: labels.reduce((sum, { flops }) => sum + flops, 0) / tokens,
      gpu_bytes,
      load_seconds,
      clock,
      labels,
    };
  } finally {
    model.close();
  }
}
