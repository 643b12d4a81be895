import { and, eq, inArray, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, models, sae_evaluations, tokenizations } from "../../db/schema.ts";
import type { EvaluatedSet, EvaluationSubject } from "../../db/stored.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { requireHookPoint } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import { precisions } from "../../gpu/lm/precision.ts";
import { requireSpliceable, SpliceError } from "../../gpu/lm/splice-plan.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import { ConflictError, type Fault, InvalidInputError, NotFoundError } from "../errors.ts";
import type { RunQueue } from "../queue.ts";
import { modelFaults, tokenizationFaults, unknownHooks } from "../runs/check-live.ts";
import { readySae } from "./get.ts";
import { neededSets } from "./needed-sets.ts";

export const evaluateInput = z.object({
  id: z.uuid(),
  /** One set; input and target of a transcoder; all hook points of a crosscoder, in its order. */
  activation_set_ids: z.array(z.uuid()).min(1).max(64),
  /** Rows from the start of the sets, of those held out where there are any; at most as many as there are. */
  tokens: z.number().int().min(1).max(1e9).default(16_384),
});

/** Seconds without a sign of life after which a running evaluation is taken for dead. */
export const evaluationSilenceSeconds = 30;

/**
 * Asks for an SAE to be measured on stored activations; a worker does it. Throws `InvalidInputError` for sets that do not
 * fit, `ConflictError` for an SAE that is not ready.
 */
export async function evaluateSaeOn(
  db: Executor,
  queue: RunQueue,
  { id, activation_set_ids, tokens }: z.output<typeof evaluateInput>,
): Promise<{ id: string }> {
  const sae = await readySae(db, id);
  if (sae.config === null) throw notRecorded(sae.name);
  const sets = await readSets(db, activation_set_ids);
  const faults = setFaults(sae.config, sets);
  if (faults.length > 0) throw new InvalidInputError(faults);
  const evaluation = uuidv7();
  await db.transaction(async (tx) => {
    await tx.insert(sae_evaluations).values({
      id: evaluation,
      sae_id: id,
      tokens,
      sets: sets as EvaluatedSet[],
    });
    await queue.enqueueEvaluation(tx, evaluation);
  });
  return { id: evaluation };
}

export const evaluateInModelInput = z.object({
  id: z.uuid(),
  /** The model to splice it into. */
  model_id: z.uuid(),
  /** Held-out sequences are taken from it. */
  tokenization_id: z.uuid(),
  /** Default: the one the SAE was trained on. */
  hook_name: z.string().trim().min(1).max(200).optional(),
  /** At most as many as are held out. */
  n_sequences: z.number().int().min(1).max(100_000).default(64),
  /** Of the model's weights on the GPU. */
  precision: z.enum(precisions).default("f32"),
});

/**
 * Asks for an SAE to be measured in its language model; a worker does it. Throws `InvalidInputError` for a model, tokens
 * or hook point that do not fit, `ConflictError` for an SAE that is not ready.
 */
export async function evaluateSaeInModel(
  db: Executor,
  queue: RunQueue,
  { id, model_id, tokenization_id, n_sequences, precision, ...given }: z.output<typeof evaluateInModelInput>,
): Promise<{ id: string }> {
  const sae = await readySae(db, id);
  if (sae.config === null) throw notRecorded(sae.name);
  const [[model], [tokenization]] = await Promise.all([
    db.select().from(models).where(eq(models.id, model_id)),
    db.select().from(tokenizations).where(eq(tokenizations.id, tokenization_id)),
  ]);
  const hook_name = given.hook_name ?? sae.hook_name;
  const faults: Fault[] = [
    ...modelFaults(model).map((message) => ({ path: "model_id", message })),
    ...tokenizationFaults(tokenization, model).map((message) => ({ path: "tokenization_id", message })),
    ...(model?.spec ? hookFaults(sae.config, model.spec, hook_name) : []),
  ];
  const held = tokenization?.held_out_sequences ?? 0;
  if (faults.length === 0 && held === 0) {
    faults.push({
      path: "tokenization_id",
      message: `“${tokenization?.name}” holds no sequences out of training, so there is nothing to measure on. Tokenize with some held out.`,
    });
  }
  if (faults.length > 0 || model === undefined || tokenization === undefined || hook_name === null) {
    throw new InvalidInputError(faults);
  }
  const sequences = Math.min(n_sequences, held);
  const evaluation = uuidv7();
  await db.transaction(async (tx) => {
    await tx.insert(sae_evaluations).values({
      id: evaluation,
      sae_id: id,
      kind: "model",
      sets: [],
      subject: subjectOf(model, tokenization, hook_name),
      model_id,
      tokenization_id,
      n_sequences: sequences,
      precision,
      tokens: sequences * tokenization.context_size,
    });
    await queue.enqueueEvaluation(tx, evaluation);
  });
  return { id: evaluation };
}

/** Model, tokens and hook point as an evaluation remembers them. */
export function subjectOf(
  model: Pick<typeof models.$inferSelect, "id" | "name" | "sha256">,
  tokenization: Pick<typeof tokenizations.$inferSelect, "id" | "name" | "hash" | "context_size">,
  hook_name: string,
): EvaluationSubject {
  return {
    // The database's check models_ready makes it non-null.
    model: { id: model.id, name: model.name, sha256: model.sha256! },
    tokenization: {
      id: tokenization.id,
      name: tokenization.name,
      hash: tokenization.hash,
      context_size: tokenization.context_size,
    },
    hook_name,
  };
}

/** What keeps an SAE from being spliced into a model where it reads at a hook point. */
function hookFaults(config: SaeConfig, spec: ModelSpec, hook_name: string | null): Fault[] {
  const path = "hook_name";
  const fault = (message: string): Fault[] => [{ path, message }];
  if (config.n_hook_points > 1) {
    return fault("A crosscoder reads several hook points at once, and only what reads one is spliced in.");
  }
  if (hook_name === null) return fault("Where the SAE was trained is not recorded; name the hook point.");
  const out = config.transcoder ? config.metadata.hook_name_out : hook_name;
  if (out === null) return fault("Where the transcoder writes is not recorded, so it cannot be spliced in.");
  const unknown = unknownHooks(spec, [hook_name, out]);
  if (unknown.length > 0) return fault(unknown[0]!.message);
  try {
    requireSpliceable(out, spec.shared_norm);
  } catch (error) {
    if (!(error instanceof SpliceError)) throw error;
    return fault(error.message);
  }
  const sides = [
    [hook_name, config.d_in, "input"],
    [out, config.d_out, "output"],
  ] as const;
  return sides.flatMap(([hook, width, side]) => {
    const there = requireHookPoint(spec, hook).width;
    return there === width
      ? []
      : fault(`${hook} has width ${there}, but the SAE's ${side} has width ${width}.`);
  });
}

function notRecorded(name: string): ConflictError {
  return new ConflictError(
    `What “${name}” computes was not recorded when it was trained; export it, and import it again to evaluate it.`,
  );
}

export const deleteEvaluationInput = z.object({ id: z.uuid() });

/** Forgets an evaluation; one under way is ended by the worker that does it. */
export async function deleteEvaluation(
  db: Executor,
  { id }: z.output<typeof deleteEvaluationInput>,
): Promise<{ id: string }> {
  const gone = await db
    .delete(sae_evaluations)
    .where(eq(sae_evaluations.id, id))
    .returning({ id: sae_evaluations.id });
  if (gone.length === 0) throw new NotFoundError("evaluation", id);
  return { id };
}

/** Marks evaluations whose worker went silent as failed; part of the reaper's round. */
export async function failAbandonedEvaluations(db: Executor): Promise<void> {
  await db
    .update(sae_evaluations)
    .set({
      status: "failed",
      reason: "The worker that measured it went silent. Evaluate it again.",
      ended_at: sql`now()`,
      updated_at: sql`now()`,
    })
    .where(
      and(
        eq(sae_evaluations.status, "running"),
        lt(
          sae_evaluations.updated_at,
          sql`now() - make_interval(secs => ${sql.raw(String(evaluationSilenceSeconds))})`,
        ),
      ),
    );
}

/** In the order asked for; null for one that is not there or not ready. */
async function readSets(db: Executor, ids: readonly string[]): Promise<(EvaluatedSet | null)[]> {
  const rows = await db
    .select()
    .from(activation_sets)
    .where(inArray(activation_sets.id, [...ids]));
  return ids.map((id) => {
    const set = rows.find((row) => row.id === id);
    if (set?.status !== "ready") return null;
    const { name, hook_name } = set;
    // The database's check activation_sets_ready makes these non-null.
    return { id, name, hook_name, n_tokens: set.n_tokens!, d_in: set.d_in!, sha256: set.sha256! };
  });
}

function setFaults(config: SaeConfig, sets: readonly (EvaluatedSet | null)[]): Fault[] {
  const needed = neededSets(config);
  if (sets.length !== needed.length) {
    const names = needed.map(({ name }) => name).join(" and ");
    const message = `This SAE is evaluated on ${needed.length === 1 ? "one activation set" : `${needed.length} activation sets (${names})`}; ${sets.length} ${sets.length === 1 ? "is" : "are"} given.`;
    return [{ path: "activation_set_ids", message }];
  }
  return sets.flatMap((set, at): Fault[] => {
    const path = `activation_set_ids.${at}`;
    const { width, name } = needed[at]!;
    if (set === null) {
      return [{ path, message: "This activation set does not exist or is not ready. Choose another." }];
    }
    if (set.d_in !== width) {
      return [
        { path, message: `“${set.name}” has width ${set.d_in}, but the SAE's ${name} has width ${width}.` },
      ];
    }
    const first = sets[0];
    if (first && set.n_tokens !== first.n_tokens) {
      return [
        {
          path,
          message: `“${set.name}” has ${set.n_tokens.toLocaleString("en")} rows, but “${first.name}” has ${first.n_tokens.toLocaleString("en")}; row by row they must come from the same tokens.`,
        },
      ];
    }
    return [];
  });
}
