import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { totalSteps } from "../../gpu/sae/config.ts";
import { StateMismatchError } from "../../gpu/sae/errors.ts";
import { ActivationSetError } from "../artifacts/activation-tensor.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes } from "../cli/format.ts";
import { evaluateWithin } from "./evaluate-within.ts";
import { exitCode, InterruptedError } from "./exit-code.ts";
import { type Figures, finishTraining } from "./finish-training.ts";
import { TrainingGroup } from "./group.ts";
import { InitialWeightsError } from "./initial-weights.ts";
import { Interruption } from "./interruption.ts";
import { figuresOf, newestModelFigures, withinLine } from "./model-figures.ts";
import { Progress } from "./progress.ts";
import {
  beginRun,
  forgetFailure,
  modelEvaluationsFileOf,
  saeFolderOf,
  writeEvaluation,
  writeFailure,
} from "./run-folder.ts";
import { type PlannedSae, planTraining, type TrainPlan } from "./train-plan.ts";
import { trainRequest } from "./train-request.ts";
import { TrainingLine } from "./training-line.ts";
import type { SessionOptions } from "./training-session.ts";
import { trainGroup } from "./training-session.ts";
import { type SaeOutcome, statusOf, summaryLines, type TrainingSummary } from "./training-summary.ts";

/** How a command tells what it is doing. */
interface Voice {
  /** A line that is no result; with --json the standard output is the summary's alone. */
  say(line: string): void;
  warn(line: string): void;
  rewrite?: ((text: string) => void) | undefined;
}

/**
 * `facet train`: trains one SAE, or a sweep of them, from files on this machine's GPU. Returns the exit code.
 * @throws InterruptedError when a signal ended it, after a checkpoint; and whatever was wrong with the input.
 */
export async function train({ output, options, json }: LocalInvocation): Promise<number> {
  const voice: Voice = {
    say: json ? output.err : output.out,
    warn: (line) => output.err(`Warning: ${line}`),
    rewrite: output.rewrite,
  };
  const { request, faults } = trainRequest(options);
  const interruption = new Interruption();
  try {
    let checking: Progress | null = null;
    const checked = (rows: number, total: number) => {
      checking ??= new Progress({ unit: "checking row", total, line: voice.say, rewrite: voice.rewrite });
      checking.update(rows);
    };
    const plan = await planTraining(request, faults, { warn: voice.warn, checked }, interruption.signal);
    try {
      const summary = await trainOnGpu(plan, request.adapter, voice, interruption);
      if (json) output.out(JSON.stringify(summary));
      else for (const line of summaryLines(summary)) output.out(line);
      return { completed: exitCode.done, failed: exitCode.failed, diverged: exitCode.diverged }[
        summary.status
      ];
    } finally {
      await plan.input.close();
    }
  } finally {
    interruption.dispose();
  }
}

async function trainOnGpu(
  plan: TrainPlan,
  adapter: string | null,
  voice: Voice,
  interruption: Interruption,
): Promise<TrainingSummary> {
  const gpu = await openGpu(adapter === null ? {} : { adapter });
  try {
    if (plan.within !== null) {
      const { model, hooks } = plan.within.live;
      voice.say(`Running ${model.name} for the first activations at ${hooks.join(", ")} …`);
    }
    const group = await createGroup(plan, gpu);
    try {
      const here = gpu.capabilities.adapter;
      if (plan.begunOn !== null && plan.begunOn !== here) {
        voice.warn(`The run was begun on ${plan.begunOn}; on ${here} it goes on, but not bit for bit.`);
      }
      await begin(plan, here);
      const { seconds } = await takeSteps(plan, gpu, group, voice, interruption);
      const figures = await finish(plan, group, interruption);
      return summarize(plan, gpu, group, figures, seconds);
    } finally {
      group.close();
    }
  } finally {
    gpu.close();
  }
}

async function createGroup(plan: TrainPlan, gpu: Gpu): Promise<TrainingGroup> {
  const { order_seed: seed, shuffle } = plan.record;
  const source = plan.input.source({ seed, shuffle });
  const saes = plan.saes.filter(({ failure }) => failure === null);
  try {
    return await TrainingGroup.create(gpu, source, saes, plan.step, plan.init);
  } catch (error) {
    // The activations have no norm to be scaled by.
    if (error instanceof RangeError) throw new ActivationSetError(error.message, error);
    if (plan.init === null || !(error instanceof StateMismatchError)) throw error;
    throw new InitialWeightsError(
      `The weights to start from do not fit the configuration: ${error.what}.`,
      error,
    );
  }
}

/** The first thing that is written, when nothing more can be wrong with the input. */
async function begin(plan: TrainPlan, adapter: string): Promise<void> {
  if (!plan.begun) {
    const configs = new Map(plan.saes.map(({ label, config }) => [label, config]));
    await beginRun(plan.out, { ...plan.record, adapter }, configs);
  }
  for (const { folder, failure } of plan.saes) {
    if (failure === null) await forgetFailure(folder);
    else await writeFailure(folder, failure);
  }
}

async function takeSteps(
  plan: TrainPlan,
  gpu: Gpu,
  group: TrainingGroup,
  voice: Voice,
  interruption: Interruption,
): Promise<{ seconds: number }> {
  const { adapter } = gpu.capabilities;
  const { config } = plan.saes[0]!;
  const total = totalSteps(config);
  voice.say(beginning(plan, gpu));
  const startedAt = performance.now();
  const line = new TrainingLine();
  const progress = new Progress({
    unit: "step",
    total,
    done: plan.step,
    line: voice.say,
    rewrite: voice.rewrite,
  });
  const ended = await trainGroup({
    group,
    adapter,
    savedStep: plan.begun && plan.step > 0 ? plan.step : null,
    stopping: () => interruption.received !== null,
    measure: measureWithin(plan, gpu, voice, progress),
    onRows: ({ planned }, rows) => line.add(planned.label, rows),
    onStep: (step) => progress.update(step, line.text()),
    onFailure: ({ planned, failure }) => {
      progress.interrupt();
      line.drop(planned.label);
      voice.warn(`${planned.label === "" ? "" : `${planned.label}: `}${failure?.message}`);
    },
  });
  progress.end();
  if (ended === "stopped") throw interrupted(plan, interruption, `Stopped at step ${group.step} of ${total}`);
  return { seconds: (performance.now() - startedAt) / 1_000 };
}

function beginning({ saes, step }: TrainPlan, { capabilities, ledger }: Gpu): string {
  const { config } = saes[0]!;
  const total = totalSteps(config);
  const what = saes.length === 1 ? `a ${config.architecture} SAE` : `${saes.length} SAEs`;
  const steps = step === 0 ? `${total} steps` : `steps ${step + 1} to ${total}`;
  return `Training ${what} on ${capabilities.adapter}: ${steps} of ${config.train_batch_size_tokens} tokens, ${bytes(ledger.used)} of GPU memory.`;
}

/** Evaluates and writes every SAE that was trained to the end. By label. */
async function finish(
  plan: TrainPlan,
  group: TrainingGroup,
  interruption: Interruption,
): Promise<Map<string, Figures>> {
  const figures = new Map<string, Figures>();
  for (const member of group.living) {
    if (interruption.received !== null) throw interrupted(plan, interruption, "Stopped after the last step");
    const { label, folder } = member.planned;
    await group.attempt(member, async ({ trainer, planned }) => {
      const in_model = plan.within && (await newestModelFigures(modelEvaluationsFileOf(folder)));
      const evaluated = await finishTraining(trainer, folder, recordFor(plan, planned));
      figures.set(label, { ...evaluated, ...(in_model && { in_model }) });
      await writeEvaluation(folder, figures.get(label)!);
    });
  }
  return figures;
}

/** Measures an SAE on held-out text within the model that it is trained on. */
function measureWithin(
  { within }: TrainPlan,
  gpu: Gpu,
  voice: Voice,
  progress: Progress,
): SessionOptions["measure"] {
  if (within === null) return null;
  const { live, evaluation } = within;
  return {
    everySteps: evaluation.every_steps,
    of: async ({ trainer, planned }, place) => {
      const figures = figuresOf(
        await evaluateWithin({
          gpu,
          model: live.model,
          tokens: live.tokens,
          ...place,
          sae: await trainer.exportSae(),
          n_sequences: evaluation.n_sequences,
        }),
      );
      progress.interrupt();
      voice.say(withinLine(planned.label, trainer.step, figures));
      return figures;
    },
  };
}

/** The run's record, of one SAE: its hook point alone, where each of several has its own. */
function recordFor({ record }: TrainPlan, { own }: PlannedSae) {
  if (own === null) return record;
  const data = record.data.slice(own.index, own.index + 1);
  return { ...record, data, metadata: { ...record.metadata, hook_name: own.hook } };
}

function interrupted(plan: TrainPlan, { received }: Interruption, when: string): InterruptedError {
  return new InterruptedError(
    received?.signal ?? "SIGINT",
    `${when}; the state is saved. Go on with: npm run facet -- train --resume ${plan.out}`,
  );
}

function summarize(
  plan: TrainPlan,
  gpu: Gpu,
  group: TrainingGroup,
  figures: ReadonlyMap<string, Figures>,
  seconds: number,
): TrainingSummary {
  const saes = plan.saes.map(({ label, folder, failure }): SaeOutcome => {
    const failed = group.members.find(({ planned }) => planned.label === label)?.failure ?? failure;
    const evaluation = figures.get(label) ?? null;
    return {
      label,
      folder,
      sae: evaluation === null ? null : saeFolderOf(folder),
      evaluation,
      failure: failed === null ? null : { step: failed.step, message: failed.message },
    };
  });
  const rows = plan.saes[0]!.config.train_batch_size_tokens;
  return {
    status: statusOf(saes),
    out: plan.out,
    adapter: gpu.capabilities.adapter,
    steps: group.step,
    resumed_from: plan.step,
    tokens: group.step * rows,
    seconds,
    tokens_per_second: ((group.step - plan.step) * rows) / seconds,
    saes,
  };
}
