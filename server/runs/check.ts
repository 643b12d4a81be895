import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { type Architecture, architectures } from "../../gpu/sae/architecture.ts";
import {
  type TrainingConfig,
  type TrainingConfigInput,
  totalSteps,
  trainingConfigSchema,
} from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";
import type { MemoryPlan } from "../../gpu/sae/trainer.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import { inspectSource, type RunSourceInput, sourceSchema, widthFaults } from "./check-source.ts";
import { planRunMemory } from "./memory.ts";
import type { RunSource } from "./views.ts";

export interface CreateRunInput {
  name: string;
  description?: string;
  source: RunSourceInput;
  config: TrainingConfigInput;
}

/**
 * The router lets any object through, so that `checkRun` can name every fault at once instead of the parser naming
 * the first group of them.
 */
export const createInput = z.custom<CreateRunInput>(
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  "A run needs a name, a source and a configuration.",
);

const headSchema = z.object({
  name: z.string().trim().min(1).max(200).meta({ label: "The name" }),
  description: z.string().trim().max(5_000).default("").meta({ label: "The description" }),
});

/** What a run may be made of, after everything has been checked. */
export interface ValidRun {
  name: string;
  description: string;
  source: RunSource;
  hook_name: string;
  config: TrainingConfig;
  total_steps: number;
  memory: MemoryPlan | null;
}

export interface RunCheck {
  faults: Fault[];
  /** Null without a live worker to plan for, or when the configuration itself is faulty. */
  memory: MemoryPlan | null;
  /** Zero when the configuration is faulty. */
  total_steps: number;
}

/** All that is wrong with a run before it is made: full sentences at the paths of the fields to change. */
export async function checkRun(db: Executor, home: string, input: CreateRunInput): Promise<RunCheck> {
  const { faults, run } = await inspect(db, home, input);
  return { faults, memory: run?.memory ?? null, total_steps: run?.total_steps ?? 0 };
}

/** As `checkRun`, but throws `InvalidInputError` with every fault. */
export async function validRun(db: Executor, home: string, input: CreateRunInput): Promise<ValidRun> {
  const { faults, run } = await inspect(db, home, input);
  if (faults.length > 0 || run === null) throw new InvalidInputError(faults);
  return run;
}

async function inspect(
  db: Executor,
  home: string,
  input: CreateRunInput,
): Promise<{ faults: Fault[]; run: ValidRun | null }> {
  const head = parseWithFaults(headSchema, input, "");
  const config = parseWithFaults(trainingConfigSchema, input.config, "config");
  const source = parseWithFaults(sourceSchema, input.source, "source");
  const faults: Fault[] = [...head.faults, ...source.faults, ...config.faults];

  if (config.data !== null) {
    faults.push(
      ...configFaults(config.data).map(({ path, message }) => ({ path: `config.${path}`, message })),
    );
  }
  const architecture = config.data?.architecture ?? architectureOf(input.config);
  const found = source.data === null ? null : await inspectSource(db, source.data, architecture);
  if (found !== null) faults.push(...found.faults);
  if (config.data === null || source.data === null || found === null) return { faults, run: null };

  faults.push(...widthFaults(config.data, found.widths));
  const total_steps = totalSteps(config.data);
  let memory: MemoryPlan | null = null;
  if (faults.length === 0 || head.faults.length === faults.length) {
    const planned = await planRunMemory(db, home, config.data, source.data);
    memory = planned?.plan ?? null;
    if (planned?.fault) faults.push(planned.fault);
  }
  const run =
    head.data === null
      ? { name: "", description: "" }
      : { name: head.data.name, description: head.data.description };
  return {
    faults,
    run: {
      ...run,
      source: source.data,
      hook_name: found.hook_name,
      config: config.data,
      total_steps,
      memory,
    },
  };
}

/** Of a configuration that is faulty elsewhere, so that its source can be judged all the same. */
function architectureOf(config: TrainingConfigInput | undefined): Architecture | null {
  return architectures.find((one) => one === (config?.architecture ?? "topk")) ?? null;
}
