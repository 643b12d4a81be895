import { eq } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { models, tokenizations } from "../../db/schema.ts";
import { requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import { requireSpliceable, SpliceError } from "../../gpu/lm/splice-plan.ts";
import { type Architecture, isBase, isTranscoder } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import type { Fault } from "../errors.ts";
import type { InspectedSource } from "./check-source.ts";
import type { RunSource } from "./views.ts";

type LiveSource = Extract<RunSource, { kind: "live" }>;

const hooksPath = "source.hooks";

/**
 * Whether model and tokenization exist, are ready and fit each other, and whether the model has these hook points in the
 * number and widths that the architecture takes. `architecture` is null where that is not known.
 */
export async function inspectLive(
  db: Executor,
  source: LiveSource,
  architecture: Architecture | null,
): Promise<InspectedSource> {
  const { model_id, tokenization_id, hooks } = source;
  const [[model], [tokenization]] = await Promise.all([
    db.select().from(models).where(eq(models.id, model_id)),
    db.select().from(tokenizations).where(eq(tokenizations.id, tokenization_id)),
  ]);
  const faults: Fault[] = [
    ...modelFaults(model).map((message) => ({ path: "source.model_id", message })),
    ...tokenizationFaults(tokenization, model).map((message) => ({
      path: "source.tokenization_id",
      message,
    })),
  ];
  const spec = model?.spec ?? null;
  if (faults.length === 0 && spec !== null && tokenization !== undefined) {
    faults.push(...evaluationFaults(source, spec, tokenization, architecture));
  }
  const widths = spec === null ? hooks.map(() => null) : hooks.map((hook) => widthOf(spec, hook));
  if (spec !== null) faults.push(...unknownHooks(spec, hooks));
  faults.push(...repeatedHooks(hooks));
  if (architecture !== null) {
    faults.push(...wrongNumber(architecture, hooks.length), ...mismatches(architecture, hooks, widths));
  }
  return { faults, widths, hook_name: architecture === "crosscoder" ? hooks.join(", ") : (hooks[0] ?? "") };
}

/** What keeps the SAE from being measured in its model while it trains. */
function evaluationFaults(
  { hooks, eval_every_steps }: LiveSource,
  spec: ModelSpec,
  tokenization: typeof tokenizations.$inferSelect,
  architecture: Architecture | null,
): Fault[] {
  if (eval_every_steps === null) return [];
  const fault = (message: string): Fault[] => [{ path: "source.eval_every_steps", message }];
  if (architecture === "crosscoder") {
    return fault(
      "A crosscoder reads several hook points at once, and only what reads one is measured in the model; leave the interval out.",
    );
  }
  if (!tokenization.held_out_sequences) {
    return fault(
      `“${tokenization.name}” holds no sequences out of training, so there is nothing to measure on; leave the interval out, or tokenize with some held out.`,
    );
  }
  const replaced = architecture !== null && isTranscoder(architecture) ? hooks[1] : hooks[0];
  try {
    if (replaced !== undefined) requireSpliceable(replaced, spec.shared_norm);
  } catch (error) {
    if (!(error instanceof SpliceError)) throw error;
    return fault(error.message);
  }
  return [];
}

/** What keeps a model from being run, in sentences. */
export function modelFaults(model: typeof models.$inferSelect | undefined): string[] {
  if (model === undefined) return ["This model does not exist; it may have been deleted. Choose another."];
  if (model.status === "importing") {
    return [`“${model.name}” is still being imported; wait until it is ready.`];
  }
  if (model.status === "failed") {
    return [`The import of “${model.name}” failed; try it again, or choose another.`];
  }
  return [];
}

/** What keeps tokens from being read by a model, in sentences. `model` is undefined where there is none. */
export function tokenizationFaults(
  tokenization: typeof tokenizations.$inferSelect | undefined,
  model: typeof models.$inferSelect | undefined,
): string[] {
  if (tokenization === undefined) {
    return ["This tokenization does not exist; it may have been deleted. Choose another."];
  }
  if (tokenization.status === "tokenizing") {
    return [`“${tokenization.name}” is still being tokenized; wait until it is ready.`];
  }
  if (tokenization.status === "failed") {
    return [`Tokenizing “${tokenization.name}” failed; try it again, or choose another.`];
  }
  if (model === undefined) return [];
  if (tokenization.tokenizer_sha256 !== model.tokenizer_sha256) {
    return [
      `“${tokenization.name}” was made with another tokenizer, whose ids mean nothing to “${model.name}”. Tokenize the dataset for “${model.name}”.`,
    ];
  }
  if (model.spec !== null && tokenization.context_size > model.spec.n_ctx) {
    return [
      `“${tokenization.name}” has sequences of ${tokenization.context_size} tokens, but “${model.name}” takes at most ${model.spec.n_ctx}.`,
    ];
  }
  return [];
}

/** Hook points that the model does not have. */
export function unknownHooks(spec: ModelSpec, hooks: readonly string[], path = hooksPath): Fault[] {
  return hooks.flatMap((hook, at) => {
    try {
      requireHookPoint(spec, hook);
      return [];
    } catch (error) {
      if (!(error instanceof UnknownHookError)) throw error;
      return [{ path: `${path}.${at}`, message: error.message }];
    }
  });
}

/** Hook points that stand twice. */
export function repeatedHooks(hooks: readonly string[], path = hooksPath): Fault[] {
  return hooks.flatMap((hook, at) =>
    hooks.indexOf(hook) < at
      ? [{ path: `${path}.${at}`, message: `${hook} is chosen twice; choose another hook point here.` }]
      : [],
  );
}

function widthOf(spec: ModelSpec, hook: string): number | null {
  try {
    return requireHookPoint(spec, hook).width;
  } catch (error) {
    if (error instanceof UnknownHookError) return null;
    throw error;
  }
}

function wrongNumber(architecture: Architecture, hooks: number): Fault[] {
  const label = architectureDescriptions[architecture].label;
  const given = hooks === 1 ? "one is" : `${hooks} are`;
  if (isBase(architecture)) {
    if (hooks === 1) return [];
    const message = `${label} trains on one hook point, but ${given} given; leave one, or choose a crosscoder.`;
    return [{ path: hooksPath, message }];
  }
  if (isTranscoder(architecture)) {
    if (hooks === 2) return [];
    const message = `A ${label.toLowerCase()} needs two hook points, its input and its target; ${given} given.`;
    return [{ path: hooks < 2 ? `${hooksPath}.1` : hooksPath, message }];
  }
  if (hooks >= 2) return [];
  return [{ path: `${hooksPath}.1`, message: "A crosscoder needs at least two hook points." }];
}

function mismatches(
  architecture: Architecture,
  hooks: readonly string[],
  widths: readonly (number | null)[],
): Fault[] {
  const [first = null] = widths;
  if (architecture !== "crosscoder" || first === null) return [];
  return widths.flatMap((width, at) =>
    width === null || width === first
      ? []
      : [
          {
            path: `${hooksPath}.${at}`,
            message: `${hooks[at]} has width ${width}, but ${hooks[0]} has ${first}; all hook points of a crosscoder have one width.`,
          },
        ],
  );
}
