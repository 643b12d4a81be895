import { inArray } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets } from "../../db/schema.ts";
import {
  type SyntheticConfigInput,
  syntheticConfigSchema,
  syntheticFaults,
} from "../../gpu/data/synthetic.ts";
import { type Precision, precisions } from "../../gpu/lm/precision.ts";
import { type Architecture, isBase, isTranscoder } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions, type TrainingConfig } from "../../gpu/sae/config.ts";
import type { Fault } from "../errors.ts";
import { inspectLive } from "./check-live.ts";
import type { RunSource } from "./views.ts";

export type RunSourceInput =
  | { kind: "synthetic"; synthetic: SyntheticConfigInput }
  | { kind: "activation_set"; activation_set_ids: string[] }
  | {
      kind: "live";
      model_id: string;
      tokenization_id: string;
      hooks: string[];
      precision?: Precision;
      eval_every_steps?: number | null;
      eval_sequences?: number;
    };

/** As many hook points as a crosscoder may have. */
const mostSets = 64;

export const sourceSchema = z.discriminatedUnion(
  "kind",
  [
    z.strictObject({ kind: z.literal("synthetic"), synthetic: syntheticConfigSchema }),
    z.strictObject({
      kind: z.literal("activation_set"),
      activation_set_ids: z
        .array(z.uuid().meta({ label: "The activation set" }))
        .min(1)
        .max(mostSets)
        .meta({ label: "The activation sets" }),
    }),
    z.strictObject({
      kind: z.literal("live"),
      model_id: z.uuid().meta({ label: "The model" }),
      tokenization_id: z.uuid().meta({ label: "The tokenization" }),
      hooks: z
        .array(z.string().trim().min(1).max(200).meta({ label: "The hook point" }))
        .min(1)
        .max(mostSets)
        .meta({ label: "The hook points" }),
      precision: z.enum(precisions).default("f32").meta({ label: "The precision" }),
      eval_every_steps: z
        .number()
        .int()
        .min(1)
        .max(2 ** 31 - 1)
        .nullable()
        .default(null)
        .meta({ label: "The interval of evaluations" }),
      eval_sequences: z
        .number()
        .int()
        .min(1)
        .max(100_000)
        .default(64)
        .meta({ label: "The number of held-out sequences" }),
    }),
  ],
  "The source must be synthetic data, activation sets, or a language model.",
);

/** Name under which a synthetic run's metrics and SAE are filed, where others have the model's hook point. */
const syntheticHookName = "synthetic";

/** Where the form shows what is wrong with the sets as a whole, and with one of them. */
const setsPath = "source.activation_set_ids";

export interface InspectedSource {
  faults: Fault[];
  /** Width of each set in order, null where it is not known; of the generator's activations. */
  widths: (number | null)[];
  hook_name: string;
}

type Set = typeof activation_sets.$inferSelect;

/** Whether a source exists, is ready, and fits an architecture. `architecture` is null where that is not known. */
export async function inspectSource(
  db: Executor,
  source: RunSource,
  architecture: Architecture | null,
): Promise<InspectedSource> {
  if (source.kind === "synthetic") {
    const faults = syntheticFaults(source.synthetic).map(
      ({ path, message }): Fault => ({ path: `source.synthetic.${path}`, message }),
    );
    if (architecture !== null && !isBase(architecture)) {
      faults.push({
        path: "source.kind",
        message: `${synthetic(architecture)} Choose activation sets, or a language model.`,
      });
    }
    return { faults, widths: [source.synthetic.d_in], hook_name: syntheticHookName };
  }
  if (source.kind === "live") return inspectLive(db, source, architecture);
  const ids = source.activation_set_ids;
  const found = await db.select().from(activation_sets).where(inArray(activation_sets.id, ids));
  const sets = ids.map((id) => found.find((set) => set.id === id) ?? null);
  const faults = sets.flatMap((set, at) => faultsOf(set).map((message) => ({ path: pathOf(at), message })));
  faults.push(...repeated(sets));
  if (architecture !== null) faults.push(...wrongNumber(architecture, sets.length));
  if (faults.length === 0) faults.push(...mismatches(sets as Set[], architecture));
  return {
    faults,
    widths: sets.map((set) => set?.d_in ?? null),
    hook_name: hookName(sets, architecture),
  };
}

/** Options that have to say what the source is. */
export function widthFaults(config: TrainingConfig, widths: readonly (number | null)[]): Fault[] {
  const faults: Fault[] = [];
  const [first = null, second = null] = widths;
  if (first !== null && first !== config.d_in) {
    faults.push({
      path: "config.d_in",
      message: `d_in is ${config.d_in}, but the source's activations have width ${first}.`,
    });
  }
  const d_out = config.d_out ?? config.d_in;
  if (isTranscoder(config.architecture) && second !== null && second !== d_out) {
    faults.push({
      path: "config.d_out",
      message: `d_out is ${d_out}, but the target's activations have width ${second}.`,
    });
  }
  if (config.architecture === "crosscoder" && widths.length > 1 && widths.length !== config.n_hook_points) {
    faults.push({
      path: "config.n_hook_points",
      message: `n_hook_points is ${config.n_hook_points}, but the source has ${widths.length}.`,
    });
  }
  return faults;
}

function pathOf(at: number): string {
  return `${setsPath}.${at}`;
}

function synthetic(architecture: Architecture): string {
  const { label } = architectureDescriptions[architecture];
  return isTranscoder(architecture)
    ? `A ${label.toLowerCase()} predicts one hook point from another, and synthetic activations have only one.`
    : `A ${label.toLowerCase()} reads several hook points, and synthetic activations have only one.`;
}

function faultsOf(set: Set | null): string[] {
  if (set === null) return ["This activation set does not exist; it may have been deleted. Choose another."];
  if (set.status === "importing") {
    const how = set.capture_id === null ? "imported" : "captured";
    return [`“${set.name}” is still being ${how}; wait until it is ready.`];
  }
  if (set.status === "failed")
    return [
      `The ${set.model_id === null ? "import" : "capture"} of “${set.name}” failed, so it holds nothing to train on.`,
    ];
  return [];
}

function repeated(sets: readonly (Set | null)[]): Fault[] {
  return sets.flatMap((set, at) =>
    set !== null && sets.findIndex((other) => other?.id === set.id) < at
      ? [{ path: pathOf(at), message: `“${set.name}” is chosen twice; choose another set here.` }]
      : [],
  );
}

function wrongNumber(architecture: Architecture, sets: number): Fault[] {
  const label = architectureDescriptions[architecture].label;
  const given = sets === 1 ? "one is" : `${sets} are`;
  if (isBase(architecture)) {
    if (sets === 1) return [];
    return [
      {
        path: setsPath,
        message: `${label} trains on one activation set, but ${given} given; leave one, or choose a crosscoder.`,
      },
    ];
  }
  if (isTranscoder(architecture)) {
    if (sets === 2) return [];
    return [
      {
        path: sets < 2 ? pathOf(1) : setsPath,
        message: `A ${label.toLowerCase()} needs two activation sets, its input and its target; ${given} given.`,
      },
    ];
  }
  if (sets >= 2) return [];
  return [
    { path: pathOf(1), message: "A crosscoder needs at least two activation sets, one for each hook point." },
  ];
}

/** Row i of every set must come from the same token, which only equal numbers of rows can mean. */
function mismatches(sets: readonly Set[], architecture: Architecture | null): Fault[] {
  const [first, ...others] = sets;
  if (first === undefined) return [];
  return others.flatMap((set, index): Fault[] => {
    const path = pathOf(index + 1);
    const count = (value: number | null) => (value ?? 0).toLocaleString("en");
    if (set.n_tokens !== first.n_tokens) {
      return [
        {
          path,
          message: `“${set.name}” has ${count(set.n_tokens)} rows, but “${first.name}” has ${count(first.n_tokens)}; row by row they must come from the same tokens.`,
        },
      ];
    }
    if (architecture === "crosscoder" && set.d_in !== first.d_in) {
      return [
        {
          path,
          message: `“${set.name}” has width ${set.d_in}, but “${first.name}” has ${first.d_in}; all hook points of a crosscoder have one width.`,
        },
      ];
    }
    return [];
  });
}

/** A transcoder's input; all different ones of a crosscoder. */
function hookName(sets: readonly (Set | null)[], architecture: Architecture | null): string {
  const names = sets.flatMap((set) => (set === null ? [] : [set.hook_name]));
  if (architecture !== "crosscoder") return names[0] ?? "";
  return [...new Set(names)].join(", ");
}
