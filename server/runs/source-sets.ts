import { asc, eq, inArray, type SQL, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { activation_sets, run_activation_sets, runs } from "../../db/schema.ts";
import { isTranscoder } from "../../gpu/sae/architecture.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { SourceSetView } from "./views.ts";

/** A run's sets with the names that lists and SAEs take from them. */
export interface SourceSet extends SourceSetView {
  model_name: string | null;
  dataset_name: string | null;
}

/**
 * For a query over runs: the sets of each, in order, as a JSON array. Tables are named in full, since Drizzle leaves a
 * column's table out where a query has only one.
 */
export const setsOfRun: SQL<SourceSet[]> = sql<SourceSet[]>`(
  select coalesce(json_agg(json_build_object('id', s.id, 'name', s.name, 'hook_name', s.hook_name, 'd_in', s.d_in,
    'model_name', s.model_name, 'dataset_name', s.dataset_name) order by r.position), '[]'::json)
  from ${run_activation_sets} r join ${activation_sets} s on s.id = r.activation_set_id
  where r.run_id = ${runs}.id
)`;

/** The sets of one run, in order. */
export async function readSourceSets(db: Executor, runId: string): Promise<SourceSet[]> {
  const rows = await db
    .select({
      id: activation_sets.id,
      name: activation_sets.name,
      hook_name: activation_sets.hook_name,
      d_in: activation_sets.d_in,
      model_name: activation_sets.model_name,
      dataset_name: activation_sets.dataset_name,
    })
    .from(run_activation_sets)
    .innerJoin(activation_sets, eq(activation_sets.id, run_activation_sets.activation_set_id))
    .where(eq(run_activation_sets.run_id, runId))
    .orderBy(asc(run_activation_sets.position));
  // Only ready sets are trained on, and those have a width.
  return rows.map(({ d_in, ...row }) => ({ ...row, d_in: d_in ?? 0 }));
}

/** Names of the runs that use any of these sets, at most `limit`, with their number in all. */
export async function runsUsing(
  db: Executor,
  setIds: readonly string[],
  limit: number,
): Promise<{ names: string[]; total: number }> {
  const rows = await db
    .selectDistinct({ id: runs.id, name: runs.name })
    .from(run_activation_sets)
    .innerJoin(runs, eq(runs.id, run_activation_sets.run_id))
    .where(inArray(run_activation_sets.activation_set_id, [...setIds]))
    .orderBy(asc(runs.id));
  return { names: rows.slice(0, limit).map(({ name }) => name), total: rows.length };
}

/** How a run's source is called in one line. */
export function sourceName(
  architecture: TrainingConfig["architecture"],
  sets: readonly { name: string }[],
): string {
  if (sets.length === 0) return "Synthetic";
  return sets.map(({ name }) => name).join(isTranscoder(architecture) ? " → " : " + ");
}

/** What the sets agree on; null where they differ or say nothing. */
export function common(values: readonly (string | null)[]): string | null {
  const [first = null] = values;
  return values.every((value) => value === first) ? first : null;
}
