import { eq, type SQL, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import {
  activation_sets,
  datasets,
  models,
  run_activation_sets,
  runs,
  tokenizations,
} from "../../db/schema.ts";
import type { EvaluationSubject } from "../../db/stored.ts";
import type { LiveSourceView, RunSource } from "./views.ts";

/**
 * For a query over runs: what a live run trains on; null for others. Tables are named in full, since Drizzle leaves a
 * column's table out where a query has only one.
 */
export const liveOfRun: SQL<LiveSourceView | null> = sql<LiveSourceView | null>`(
  select json_build_object('model', json_build_object('id', m.id, 'name', m.name),
    'tokenization', json_build_object('id', t.id, 'name', t.name),
    'dataset', json_build_object('id', d.id, 'name', d.name), 'hooks', to_json(${runs}.hooks),
    'precision', ${runs}.precision, 'eval_every_steps', ${runs}.eval_every_steps,
    'eval_sequences', ${runs}.eval_sequences)
  from ${models} m, ${tokenizations} t join ${datasets} d on d.id = t.dataset_id
  where m.id = ${runs}.model_id and t.id = ${runs}.tokenization_id
)`;

/** How a live source is called in one line. */
export function liveName({ model, tokenization }: LiveSourceView): string {
  return `${model.name} on ${tokenization.name}`;
}

/** For a query over runs: whether a run's activations come from the model or the dataset of this name. */
export function sourceIsOf(what: "model" | "dataset", name: string): SQL {
  const live =
    what === "model"
      ? sql`select 1 from ${models} m where m.id = ${runs}.model_id and m.name = ${name}`
      : sql`select 1 from ${tokenizations} t join ${datasets} d on d.id = t.dataset_id
          where t.id = ${runs}.tokenization_id and d.name = ${name}`;
  return sql`(exists (
    select 1 from ${run_activation_sets} r join ${activation_sets} s on s.id = r.activation_set_id
    where r.run_id = ${runs}.id and s.${sql.identifier(`${what}_name`)} = ${name}
  ) or exists (${live}))`;
}

/** What a live run's SAE is measured in, as its evaluation remembers it, and the dataset behind the tokens. */
export async function readLive(
  db: Executor,
  { model_id, tokenization_id }: Extract<RunSource, { kind: "live" }>,
): Promise<{ subject: Omit<EvaluationSubject, "hook_name">; dataset_name: string }> {
  const [[model], [found]] = await Promise.all([
    db.select().from(models).where(eq(models.id, model_id)),
    db
      .select({ tokenization: tokenizations, dataset_name: datasets.name })
      .from(tokenizations)
      .innerJoin(datasets, eq(datasets.id, tokenizations.dataset_id))
      .where(eq(tokenizations.id, tokenization_id)),
  ]);
  // A run's foreign keys keep both from being deleted before it.
  const { id, name, sha256 } = model!;
  const { tokenization, dataset_name } = found!;
  const { hash, context_size } = tokenization;
  return {
    subject: {
      model: { id, name, sha256: sha256! },
      tokenization: { id: tokenization.id, name: tokenization.name, hash, context_size },
    },
    dataset_name,
  };
}
