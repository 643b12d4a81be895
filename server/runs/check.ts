import { eq } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets } from "../../db/schema.ts";
import {
  type SyntheticConfigInput,
  syntheticConfigSchema,
  syntheticFaults,
} from "../../gpu/data/synthetic.ts";
import {
  configFaults,
  type TrainingConfig,
  type TrainingConfigInput,
  totalSteps,
  trainingConfigSchema,
} from "../../gpu/sae/config.ts";
import type { MemoryPlan } from "../../gpu/sae/trainer.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import { planRunMemory } from "./memory.ts";
import type { RunSource } from "./views.ts";

export type RunSourceInput =
  | { kind: "synthetic"; synthetic: SyntheticConfigInput }
  | { kind: "activation_set"; activation_set_id: string };

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

const sourceSchema = z.discriminatedUnion(
  "kind",
  [
    z.strictObject({ kind: z.literal("synthetic"), synthetic: syntheticConfigSchema }),
    z.strictObject({ kind: z.literal("activation_set"), activation_set_id: z.uuid() }),
  ],
  "The source must be synthetic data or an activation set.",
);

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
  const found = source.data === null ? null : await inspectSource(db, source.data);
  if (found !== null) faults.push(...found.faults);
  if (config.data === null || source.data === null || found === null) return { faults, run: null };

  if (found.d_in !== null && found.d_in !== config.data.d_in) {
    faults.push({
      path: "config.d_in",
      message: `d_in is ${config.data.d_in}, but the source's activations have width ${found.d_in}.`,
    });
  }
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

/** Name under which a synthetic run's metrics and SAE are filed, where others have the model's hook point. */
const syntheticHookName = "synthetic";

async function inspectSource(
  db: Executor,
  source: RunSource,
): Promise<{ faults: Fault[]; d_in: number | null; hook_name: string }> {
  if (source.kind === "synthetic") {
    return {
      faults: syntheticFaults(source.synthetic).map(({ path, message }) => ({
        path: `source.synthetic.${path}`,
        message,
      })),
      d_in: source.synthetic.d_in,
      hook_name: syntheticHookName,
    };
  }
  const path = "source.activation_set_id";
  const [set] = await db
    .select()
    .from(activation_sets)
    .where(eq(activation_sets.id, source.activation_set_id));
  if (set === undefined) {
    const message = "This activation set does not exist; it may have been deleted. Choose another.";
    return { faults: [{ path, message }], d_in: null, hook_name: "" };
  }
  const faults: Fault[] = [];
  if (set.status === "importing") {
    faults.push({ path, message: `“${set.name}” is still being imported; wait until it is ready.` });
  }
  if (set.status === "failed") {
    faults.push({ path, message: `The import of “${set.name}” failed, so it holds nothing to train on.` });
  }
  return { faults, d_in: set.d_in, hook_name: set.hook_name };
}
