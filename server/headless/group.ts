import type { ActivationSource } from "../../gpu/data/source.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { DivergedError } from "../../gpu/sae/errors.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import type { StepMetrics, Trainer } from "../../gpu/sae/trainer.ts";
import { createTrainerGroup, type TrainerGroup } from "../../gpu/sae/trainer-group.ts";
import type { PlannedSae } from "./train-plan.ts";

/** One SAE in training. */
export interface TrainingMember {
  readonly planned: PlannedSae;
  readonly trainer: Omit<Trainer, "advance">;
  /** Set when it diverged; nothing more is asked of it then. */
  failure: DivergedError | null;
}

/** The SAEs of a run that are still to be trained, as their folders know them. Close it. */
export class TrainingGroup {
  readonly members: readonly TrainingMember[];
  readonly #group: TrainerGroup | null;
  readonly #begun: number;

  private constructor(group: TrainerGroup | null, saes: readonly PlannedSae[], begun: number) {
    this.#group = group;
    this.#begun = begun;
    this.members = saes.map((planned, index) => ({
      planned,
      trainer: group!.members[index]!.trainer,
      failure: null,
    }));
  }

  /**
   * @param saes None where all had failed before.
   * @param step That of their states.
   * @throws what `createTrainerGroup` throws; nothing stays allocated then.
   */
  static async create(
    gpu: Gpu,
    source: ActivationSource,
    saes: readonly PlannedSae[],
    step: number,
    init: Record<string, StateTensor> | null,
  ): Promise<TrainingGroup> {
    if (saes.length === 0) return new TrainingGroup(null, saes, step);
    const states = saes.flatMap(({ resume }) => resume ?? []);
    const group = await createTrainerGroup({
      gpu,
      source,
      configs: saes.map(({ config }) => config),
      columns: saes.map(({ own }) => own?.columns ?? null),
      ...(states.length === 0 ? {} : { resume: states }),
      ...(init === null ? {} : { init }),
    });
    return new TrainingGroup(group, saes, step);
  }

  /** Steps taken by all that have not failed. */
  get step(): number {
    return this.#group?.step ?? this.#begun;
  }

  get totalSteps(): number {
    return this.#group?.totalSteps ?? this.#begun;
  }

  get living(): TrainingMember[] {
    return this.members.filter(({ failure }) => failure === null);
  }

  /** One step of every SAE that has not failed. Returns the rows of metrics that have arrived. */
  async advance(): Promise<{ member: TrainingMember; rows: StepMetrics[] }[]> {
    const group = this.#group!;
    const rows = await group.advance().catch((error: unknown) => {
      // The last one's failure, once none is left.
      if (error instanceof DivergedError) return [];
      throw error;
    });
    for (const [index, { failure }] of group.members.entries()) {
      if (failure !== null && !(failure instanceof DivergedError)) throw failure;
      this.members[index]!.failure ??= failure;
    }
    return this.members.map((member, index) => ({ member, rows: rows[index] ?? [] }));
  }

  /** Asks something of one SAE. That it diverged is its own failure and no one else's. */
  async attempt(member: TrainingMember, work: (member: TrainingMember) => Promise<void>): Promise<void> {
    try {
      await work(member);
    } catch (error) {
      if (!(error instanceof DivergedError)) throw error;
      member.failure = error;
    }
  }

  close(): void {
    this.#group?.close();
  }
}
