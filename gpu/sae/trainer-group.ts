import { type ColumnRange, SourceColumns } from "../data/columns.ts";
import type { ActivationSource, OpenSource } from "../data/source.ts";
import { bufferUsage } from "../device/constants.ts";
import type { Gpu } from "../device/gpu.ts";
import { sourceWidth } from "./architecture.ts";
import type { TrainingConfig } from "./config.ts";
import { DeviceFailedError } from "./errors.ts";
import type { StateTensor } from "./sae.ts";
import type { SaeTrainer } from "./sae-trainer.ts";
import { createTrainerOn, type StepMetrics, type Trainer, type TrainerState } from "./trainer.ts";

/** One SAE of a group. */
export interface GroupMember {
  readonly config: TrainingConfig;
  /** For everything but `advance`, which the group does for all. */
  readonly trainer: Omit<Trainer, "advance">;
  /** Why it was left behind: its training diverged, for instance. Null while it trains. */
  readonly failure: Error | null;
}

export interface TrainerGroupOptions {
  gpu: Gpu;
  /** Of one batch size and one number of steps. */
  configs: readonly TrainingConfig[];
  /** For each of them, the columns of the source's rows that it trains on: one hook point of several. Null for all. */
  columns?: readonly (ColumnRange | null)[];
  source: ActivationSource;
  /** A state to go on from for each of them, all at one step. */
  resume?: readonly TrainerState[];
  /** Starting parameters for all of them. */
  init?: Record<string, StateTensor>;
}

/**
 * Several SAEs from one pass over the data: every batch is made once, and each SAE takes its own step on it, or on its
 * hook point's columns of it, with its own parameters, optimizer and normalisation. What ends one (it diverges, say) leaves the others as they would be alone.
 */
export class TrainerGroup {
  readonly totalSteps: number;
  readonly #gpu: Gpu;
  readonly #source: OpenSource;
  readonly #raw: GPUBuffer;
  readonly #rows: number;
  readonly #columns: readonly SourceColumns[];
  readonly #members: { trainer: SaeTrainer; failure: Error | null }[];

  constructor(
    gpu: Gpu,
    source: OpenSource,
    raw: GPUBuffer,
    columns: readonly SourceColumns[],
    trainers: readonly SaeTrainer[],
  ) {
    this.#gpu = gpu;
    this.#source = source;
    this.#raw = raw;
    this.#columns = columns;
    this.#members = trainers.map((trainer) => ({ trainer, failure: null }));
    this.#rows = trainers[0]!.config.train_batch_size_tokens;
    this.totalSteps = trainers[0]!.totalSteps;
  }

  get members(): readonly GroupMember[] {
    return this.#members.map(({ trainer, failure }) => ({ config: trainer.config, trainer, failure }));
  }

  /** Steps taken (submitted) by those that still train. */
  get step(): number {
    return this.#living()[0]?.trainer.step ?? this.#members[0]!.trainer.step;
  }

  /**
   * One step of every member that still trains. Returns the rows of metrics that have arrived, by member.
   * @throws DeviceFailedError, which ends them all; and the last member's failure once none is left.
   */
  async advance(): Promise<StepMetrics[][]> {
    const rows = this.#members.map((): StepMetrics[] => []);
    for (const [index, member] of this.#members.entries()) {
      if (member.failure !== null) continue;
      rows[index] = await this.#attempt(member, () => member.trainer.beforeStep(), []);
    }
    const living = this.#living();
    if (living.length === 0) throw this.#members.at(-1)!.failure!;
    await this.#source.ready("training", this.step, this.#rows);
    const encoder = this.#gpu.device.createCommandEncoder({ label: `step ${this.step + 1}` });
    this.#source.encodeBatch(encoder, this.#raw, "training", this.step, this.#rows);
    for (const columns of this.#columns) columns.encodeCopy(encoder);
    for (const { trainer } of living) trainer.encodeStep(encoder);
    this.#gpu.device.queue.submit([encoder.finish()]);
    for (const { trainer } of living) trainer.afterSubmit();
    return rows;
  }

  /** Waits for all submitted work and returns the rows of metrics still under way, by member. */
  async drain(): Promise<StepMetrics[][]> {
    const rows: StepMetrics[][] = [];
    for (const member of this.#members) {
      rows.push(member.failure === null ? await this.#attempt(member, () => member.trainer.drain(), []) : []);
    }
    return rows;
  }

  close(): void {
    for (const { trainer } of this.#members) trainer.close();
    for (const columns of this.#columns) columns.close();
    this.#source.close();
    this.#gpu.ledger.free(this.#raw);
  }

  #living() {
    return this.#members.filter(({ failure }) => failure === null);
  }

  async #attempt<T>(member: { failure: Error | null }, work: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      // What befalls the device befalls all.
      if (cause instanceof DeviceFailedError || !(cause instanceof Error)) throw cause;
      member.failure = cause;
      return otherwise;
    }
  }
}

/**
 * Opens the source once and makes a trainer for each configuration on it.
 * @throws RangeError for configurations that cannot share batches, and all that createTrainer throws; nothing stays
 * allocated then.
 */
export async function createTrainerGroup(options: TrainerGroupOptions): Promise<TrainerGroup> {
  const { gpu, configs, source, resume, init } = options;
  const ranges = configs.map((_, index) => options.columns?.[index] ?? null);
  const [first] = configs;
  if (first === undefined) throw new RangeError("A group needs at least one configuration.");
  refuseDifferent(configs, ranges, source.d_in);
  const rows = first.train_batch_size_tokens;
  const cleanup: (() => void)[] = [];
  try {
    const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;
    const raw = gpu.ledger.allocate("raw", 4 * rows * source.d_in, STORAGE | COPY_SRC | COPY_DST);
    cleanup.push(() => gpu.ledger.free(raw));
    const opened = await source.open(gpu, rows);
    cleanup.push(() => opened.close());
    const whole = { whole: raw, rows, pitch: source.d_in };
    const columns = new Map<string, SourceColumns>();
    for (const range of ranges) {
      if (range === null || columns.has(String(range))) continue;
      const made = await SourceColumns.open(gpu, opened, whole, range);
      cleanup.push(() => made.close());
      columns.set(String(range), made);
    }
    const trainers: SaeTrainer[] = [];
    for (const [index, config] of configs.entries()) {
      const state = resume?.[index];
      const range = ranges[index] ?? null;
      const own = range === null ? null : columns.get(String(range))!;
      const trainer = await createTrainerOn(
        {
          gpu,
          config,
          source: range === null ? source : narrowed(source, range),
          ...(state && { resume: state }),
          ...(init && { init }),
        },
        { opened: own ?? opened, raw: own?.raw ?? raw },
      );
      cleanup.push(() => trainer.close());
      trainers.push(trainer);
    }
    return new TrainerGroup(gpu, opened, raw, [...columns.values()], trainers);
  } catch (refused) {
    for (const undo of cleanup.reverse()) undo();
    throw refused;
  }
}

/** A source's columns, to be planned for; the whole of it is open already. */
function narrowed(source: ActivationSource, [, width]: ColumnRange): ActivationSource {
  return {
    d_in: width,
    n_tokens: source.n_tokens,
    gpuBytes: (maxRows) => source.gpuBytes(maxRows),
    open: (gpu, maxRows) => source.open(gpu, maxRows),
  };
}

/** Throws RangeError for configurations that cannot share batches of rows of width `d_in`. */
function refuseDifferent(
  configs: readonly TrainingConfig[],
  ranges: readonly (ColumnRange | null)[],
  d_in: number,
): void {
  const first = configs[0]!;
  for (const [index, config] of configs.entries()) {
    for (const name of ["train_batch_size_tokens", "training_tokens"] as const) {
      if (config[name] !== first[name]) {
        throw new RangeError(
          `SAEs of one pass over the data share ${name}: ${config[name]} and ${first[name]}.`,
        );
      }
    }
    const [from, width] = ranges[index] ?? [0, d_in];
    if (from < 0 || from + width > d_in) {
      throw new RangeError(`Columns ${from} to ${from + width} are not all among the source's ${d_in}.`);
    }
    if (sourceWidth(config) !== width) {
      throw new RangeError(
        `An SAE that reads rows of ${sourceWidth(config)} columns cannot be trained on ${width} of them.`,
      );
    }
  }
}
