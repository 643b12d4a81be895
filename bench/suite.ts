import type { Capabilities, Gpu } from "../gpu/device/gpu.ts";
import type { Clock, ProfiledLabel } from "../gpu/device/profiler.ts";
import type { Trainer } from "../gpu/sae/trainer.ts";
import { createTrainer } from "../gpu/sae/trainer.ts";
import { type BenchCase, caseConfig, caseInit, caseName, standardCases } from "./cases.ts";
import { type LmEffort, type MeasuredLmCase, measureLmCase } from "./lm.ts";
import { type LmCase, lmCaseName, standardLmCases } from "./lm-cases.ts";
import { measureRoofs } from "./probes.ts";
import { RandomActivations } from "./random-activations.ts";
import { type Summary, summarize } from "./summary.ts";

export interface SuiteOptions {
  /** A run the size of a test: one small case, short repetitions. Its figures are not for comparing. */
  quick: boolean;
  /** Cases in place of the standard grid. */
  cases: BenchCase[] | null;
  /** Language models in place of the standard ones. */
  lm: LmCase[] | null;
}

/** One kernel, by its label, within one training step. */
export interface KernelResult {
  label: string;
  calls: number;
  ms: Summary;
  /** What the kernel's formulas say it must move and compute in one step. */
  bytes: number;
  flops: number;
  bytes_per_second: number;
  flops_per_second: number;
  /** Which roof is the nearer one for these bytes and flops; "idle": the step had nothing for it to do. */
  bound: "memory" | "compute" | "idle";
  /** Time the nearer roof allows, as a share of the median time taken, in percent. */
  percent_of_roof: number;
}

export interface CaseResult {
  case: BenchCase;
  /** Over whole repetitions: from the first submit until the GPU has done all of it, metrics included. */
  tokens_per_second: Summary;
  steps_per_second: Summary;
  steps_per_repetition: number;
  /** Bytes the ledger held while training. */
  gpu_bytes: number;
  dead_features: number | null;
  clock: Clock;
  /** Sum of the kernels' medians; an upper bound, for in a real step neighbours may overlap. */
  kernels_ms: number;
  kernels: KernelResult[];
}

/** The forward pass of a language model. */
export interface LmCaseResult extends Omit<MeasuredLmCase, "labels"> {
  flops_per_second: number;
  /** Of the multiply-add roof that was measured in the same run. */
  percent_of_roof: number;
  kernels_ms: number;
  kernels: KernelResult[];
}

export interface SuiteResult {
  capabilities: Capabilities;
  quick: boolean;
  /** Measured before and after the cases, all samples together. */
  roofs: { copy_bytes_per_second: Summary; fma_flops_per_second: Summary };
  cases: CaseResult[];
  lm: LmCaseResult[];
}

interface Effort {
  probeRepetitions: number;
  warmUpSteps: number;
  repetitions: number;
  /** Shortest repetition, ms. */
  repetitionMs: number;
  profiledSteps: number;
  lm: LmEffort;
}

const fullEffort: Effort = {
  probeRepetitions: 7,
  warmUpSteps: 10,
  repetitions: 7,
  repetitionMs: 1000,
  profiledSteps: 15,
  lm: { repetitions: 3, repetitionMs: 1000, profiledPasses: 3 },
};
const quickEffort: Effort = {
  probeRepetitions: 3,
  warmUpSteps: 3,
  repetitions: 3,
  repetitionMs: 50,
  profiledSteps: 3,
  lm: { repetitions: 3, repetitionMs: 20, profiledPasses: 2 },
};

/** Runs the benchmark on an open GPU, the same in Node and in a browser. `log` is told what is being measured. */
export async function runSuite(
  gpu: Gpu,
  options: SuiteOptions,
  log: (line: string) => void,
): Promise<SuiteResult> {
  const { quick } = options;
  const effort = quick ? quickEffort : fullEffort;
  const chosen = options.cases ?? standardCases(gpu.capabilities.software, quick);
  log("roofs");
  const before = await measureRoofs(gpu, effort.probeRepetitions, quick);
  const measured: MeasuredCase[] = [];
  for (const [index, benchCase] of chosen.entries()) {
    log(`case ${index + 1} of ${chosen.length}: ${caseName(benchCase)}`);
    measured.push(await measureCase(gpu, benchCase, effort));
  }
  const models = options.lm ?? standardLmCases(gpu.capabilities.software, quick);
  const passes: MeasuredLmCase[] = [];
  for (const [index, lmCase] of models.entries()) {
    log(`language model ${index + 1} of ${models.length}: ${lmCaseName(lmCase)}`);
    passes.push(await measureLmCase(gpu, lmCase, effort.lm));
  }
  log("roofs again");
  const after = await measureRoofs(gpu, effort.probeRepetitions, quick);
  const roofs = {
    copy_bytes_per_second: summarize([...before.copy_bytes_per_second, ...after.copy_bytes_per_second]),
    fma_flops_per_second: summarize([...before.fma_flops_per_second, ...after.fma_flops_per_second]),
  };
  const error = gpu.uncapturedError();
  if (error !== null) throw new Error(`The GPU reported an error, so nothing measured counts: ${error}`);
  return {
    capabilities: gpu.capabilities,
    quick,
    roofs,
    cases: measured.map(({ labels, ...rest }) => {
      // Only AuxK's kernels take their grids from the GPU; without dead features they are empty.
      const idle = (label: ProfiledLabel) => label.indirect && rest.dead_features === 0;
      const kernels = labels.map((label) => kernelResult(label, roofs, idle(label)));
      return { ...rest, kernels_ms: kernels.reduce((sum, { ms }) => sum + ms.median, 0), kernels };
    }),
    lm: passes.map((measured) => lmResult(measured, roofs)),
  };
}

function lmResult({ labels, ...rest }: MeasuredLmCase, roofs: SuiteResult["roofs"]): LmCaseResult {
  const kernels = labels.map((label) => kernelResult(label, roofs));
  const flops_per_second = rest.tokens_per_second.median * rest.flops_per_token;
  return {
    ...rest,
    flops_per_second,
    percent_of_roof: (100 * flops_per_second) / roofs.fma_flops_per_second.median,
    kernels_ms: kernels.reduce((sum, { ms }) => sum + ms.median, 0),
    kernels,
  };
}

type MeasuredCase = Omit<CaseResult, "kernels" | "kernels_ms"> & { labels: ProfiledLabel[] };

async function measureCase(gpu: Gpu, benchCase: BenchCase, effort: Effort): Promise<MeasuredCase> {
  const config = caseConfig(benchCase);
  const source = new RandomActivations(config.d_in);
  const trainer = await createTrainer({ gpu, config, source, init: caseInit(benchCase) });
  try {
    await timeSteps(gpu, trainer, effort.warmUpSteps);
    const { ms } = await timeSteps(gpu, trainer, effort.warmUpSteps);
    const steps = Math.max(effort.warmUpSteps, Math.ceil((effort.repetitionMs * effort.warmUpSteps) / ms));
    const seconds: number[] = [];
    let dead_features: number | null = null;
    for (let repetition = 0; repetition < effort.repetitions; repetition++) {
      const timed = await timeSteps(gpu, trainer, steps);
      seconds.push(timed.ms / 1000);
      dead_features = timed.dead_features ?? dead_features;
    }
    const gpu_bytes = gpu.ledger.used;
    const { clock, labels } = await trainer.profile(effort.profiledSteps);
    return {
      case: benchCase,
      tokens_per_second: summarize(seconds.map((s) => (steps * benchCase.batch) / s)),
      steps_per_second: summarize(seconds.map((s) => steps / s)),
      steps_per_repetition: steps,
      gpu_bytes,
      dead_features,
      clock,
      labels,
    };
  } finally {
    trainer.close();
  }
}

/** Takes steps and waits until the GPU has finished them. */
async function timeSteps(
  gpu: Gpu,
  trainer: Trainer,
  steps: number,
): Promise<{ ms: number; dead_features: number | null }> {
  const start = performance.now();
  const rows = [];
  for (let step = 0; step < steps; step++) rows.push(...(await trainer.advance()));
  rows.push(...(await trainer.drain()));
  await gpu.device.queue.onSubmittedWorkDone();
  return { ms: performance.now() - start, dead_features: rows.at(-1)?.dead_features ?? null };
}

/** Sets a kernel's time against the roofs: time allowed = max(bytes / copy rate, flops / fma rate). */
export function kernelResult(
  profiled: ProfiledLabel,
  roofs: SuiteResult["roofs"],
  idle = false,
): KernelResult {
  const { label, calls, ns } = profiled;
  const bytes = idle ? 0 : profiled.bytes;
  const flops = idle ? 0 : profiled.flops;
  const ms = summarize(ns.map((value) => value / 1e6));
  const seconds = ms.median / 1000;
  const memorySeconds = bytes / roofs.copy_bytes_per_second.median;
  const computeSeconds = flops / roofs.fma_flops_per_second.median;
  return {
    label,
    calls,
    ms,
    bytes,
    flops,
    bytes_per_second: bytes / seconds,
    flops_per_second: flops / seconds,
    bound: idle ? "idle" : memorySeconds >= computeSeconds ? "memory" : "compute",
    percent_of_roof: (100 * Math.max(memorySeconds, computeSeconds)) / seconds,
  };
}
