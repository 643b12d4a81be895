import { type ColumnRange, ColumnSplit, ColumnsOfSource, takesAll } from "../data/columns.ts";
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
  /** Columns of the source's rows that it trains on; null: all. */
  readonly columns: ColumnRange | null;
  /** For everything but `advance`, which the group does for all. */
  readonly trainer: Omit<Trainer, "advance">;
  /** Why it was left behind: its training diverged, for instance. Null while it trains. */
  readonly failure: Error | null;
}

export interface TrainerGroupOptions {
  gpu: Gpu;
  /** Of one batch size and one number of steps. */
  configs: readonly TrainingConfig[];
  source: ActivationSource;
  /**
   * Columns of the source's rows that each of them trains on, as one hook point of several that lie side by side; null, or
   * not given: all. Members of different columns may differ in everything but batch size and number of steps.
   */
  columns?: readonly (ColumnRange | null)[];
  /** A state to go on from for each of them, all at one step. */
  resume?: readonly TrainerState[];
  /** Starting parameters for all of them. */
  init?: Record<string, StateTensor>;
}

/**
 * Several SAEs from one pass over the data: every batch is made once, and each SAE takes its own step on it with its own
 * parameters, optimizer and normalisation. What ends one (it diverges, say) leaves the others as they would be alone.
 */
export class TrainerGroup {
  readonly totalSteps: number;
  readonly #gpu: Gpu;
  readonly #source: OpenSource;
  readonly #raw: GPUBuffer;
  readonly #rows: number;
  readonly #members: { trainer: SaeTrainer; split: ColumnSplit | null; failure: Error | null }[];

  /** Made by `createTrainerGroup`. */
  constructor(
    gpu: Gpu,
    source: OpenSource,
    raw: GPUBuffer,
    members: readonly { trainer: SaeTrainer; split: ColumnSplit | null }[],
  ) {
    this.#gpu = gpu;
    this.#source = source;
    this.#raw = raw;
    this.#members = members.map((member) => ({ ...member, failure: null }));
    const { trainer } = members[0]!;
    this.#rows = trainer.config.train_batch_size_tokens;
    this.totalSteps = trainer.totalSteps;
  }

  get members(): readonly GroupMember[] {
    return this.#members.map(({ trainer, split, failure }) => ({
      config: trainer.config,
      columns: split?.columns ?? null,
      trainer,
      failure,
    }));
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
    for (const split of new Set(living.map(({ split }) => split))) split?.encode(encoder, this.#rows);
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
    for (const split of new Set(this.#members.map(({ split }) => split))) split?.close();
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
  const columns = checkMembers(options);
  const rows = configs[0]!.train_batch_size_tokens;
  const cleanup: (() => void)[] = [];
  try {
    const { STORAGE, COPY_SRC, COPY_DST } = bufferUsage;
    const raw = gpu.ledger.allocate("raw", 4 * rows * source.d_in, STORAGE | COPY_SRC | COPY_DST);
    cleanup.push(() => gpu.ledger.free(raw));
    const opened = await source.open(gpu, rows);
    cleanup.push(() => opened.close());
    const splits = new Map<string, ColumnSplit>();
    const members: { trainer: SaeTrainer; split: ColumnSplit | null }[] = [];
    for (const [index, config] of configs.entries()) {
      const state = resume?.[index];
      const range = columns[index]!;
      let split: ColumnSplit | null = null;
      if (range !== null) {
        split =
          splits.get(String(range)) ?? (await ColumnSplit.open(gpu, { raw, rows, d_in: source.d_in }, range));
        if (!splits.has(String(range))) cleanup.push(split.close.bind(split));
        splits.set(String(range), split);
      }
      const given = { gpu, config, ...(state && { resume: state }), ...(init && { init }) };
      const trainer = await createTrainerOn(
        { ...given, source: split === null ? source : columnsOf(source, split.columns) },
        split === null ? { opened, raw } : { opened: new ColumnsOfSource(opened, split), raw: split.target },
      );
      cleanup.push(() => trainer.close());
      members.push({ trainer, split });
    }
    return new TrainerGroup(gpu, opened, raw, members);
  } catch (refused) {
    for (const undo of cleanup.reverse()) undo();
    throw refused;
  }
}

/** The columns of each member. @throws RangeError */
function checkMembers({ configs, source, columns }: TrainerGroupOptions): (ColumnRange | null)[] {
  const [first] = configs;
  if (first === undefined) throw new RangeError("A group needs at least one configuration.");
  if (columns !== undefined && columns.length !== configs.length) {
    throw new RangeError(`There are ${columns.length} ranges of columns for ${configs.length} SAEs.`);
  }
  const shared = ["train_batch_size_tokens", "training_tokens"] as const;
  const sharedByColumns = ["d_in", "d_out", "n_hook_points"] as const;
  const ranges = configs.map((_, index) => columns?.[index] ?? null);
  for (const [index, config] of configs.entries()) {
    const range = ranges[index]!;
    const same = range === null && ranges[0] === null;
    for (const name of same ? [...shared, ...sharedByColumns] : shared) {
      if (config[name] !== first[name]) {
        throw new RangeError(
          `SAEs of one pass over the data share ${name}: ${config[name]} and ${first[name]}.`,
        );
      }
    }
    if (same && sourceWidth(config) !== sourceWidth(first)) {
      throw new RangeError("SAEs of one pass over the data read rows of one width.");
    }
    if (range !== null) checkRange(range, source.d_in, sourceWidth(config));
  }
  return ranges.map((range) => (range === null || takesAll(range, source.d_in) ? null : range));
}

function checkRange([first, width]: ColumnRange, d_in: number, wanted: number): void {
  const inside = Number.isInteger(first) && Number.isInteger(width) && first >= 0 && first + width <= d_in;
  if (!inside) {
    throw new RangeError(`Columns ${first} to ${first + width} are not in rows of ${d_in}.`);
  }
  if (width !== wanted) {
    throw new RangeError(`The configuration reads rows of ${wanted} columns, but it is given ${width}.`);
  }
}

/** The source as a member of these columns sees it. */
function columnsOf(source: ActivationSource, [, width]: ColumnRange): ActivationSource {
  return {
    d_in: width,
    n_tokens: source.n_tokens,
    gpuBytes: (maxRows) => source.gpuBytes(maxRows),
    open: () => Promise.reject(new Error("The source is open.")),
  };
}
