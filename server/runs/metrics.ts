import { and, asc, eq, inArray, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { run_metrics, runs } from "../../db/schema.ts";
import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import { NotFoundError } from "../errors.ts";
import { stepMetrics } from "./read.ts";

export const metricsInput = z.object({
  id: z.uuid(),
  /** Most rows wanted. */
  points: z.number().int().min(20).max(20_000).default(2_000),
});

/** Series whose extremes survive thinning: those that are charted. */
const keptSeries = [
  run_metrics.loss,
  run_metrics.l0,
  run_metrics.explained_variance,
  run_metrics.dead_features,
] as const;

/**
 * The history of a run's metrics in order of step, at most `points` rows. A longer one is thinned on the server:
 * steps are put into equal ranges, and of each range stay the rows with the least and the greatest value of every
 * charted series, so that no spike is lost; first and last row always stay. Throws `NotFoundError`.
 */
export async function runMetrics(
  db: Executor,
  { id, points }: z.output<typeof metricsInput>,
): Promise<{ rows: StepMetrics[] }> {
  const [run] = await db.select({ hook_name: runs.hook_name }).from(runs).where(eq(runs.id, id));
  if (run === undefined) throw new NotFoundError("run", id);
  const ofRun = and(eq(run_metrics.run_id, id), eq(run_metrics.hook_name, run.hook_name));
  const [extent] = await db
    .select({
      n: sql<number>`count(*)::int`,
      first: sql<number>`min(${run_metrics.step})`,
      last: sql<number>`max(${run_metrics.step})`,
    })
    .from(run_metrics)
    .where(ofRun);
  if (extent === undefined || extent.n === 0) return { rows: [] };
  const { n, first, last } = extent;
  if (n <= points) {
    const rows = await db.select().from(run_metrics).where(ofRun).orderBy(asc(run_metrics.step));
    return { rows: rows.map(stepMetrics) };
  }
  const ranges = Math.max(1, Math.floor((points - 2) / (2 * keptSeries.length)));
  const range = sql`((${run_metrics.step} - ${first})::bigint * ${ranges} / (${last - first} + 1))`;
  // The least of the pairs (value, step) carries along the step at which the least value stands.
  const extremes = keptSeries.flatMap((series) => {
    const pair = sql`array[${series}::float8, ${run_metrics.step}::float8]`;
    return [sql`(min(${pair}))[2]`, sql`(max(${pair}))[2]`];
  });
  const chosen = await db
    .select({ steps: sql<number[]>`array[${sql.join(extremes, sql`, `)}]` })
    .from(run_metrics)
    .where(ofRun)
    .groupBy(range);
  // As a list, not as a subquery: the planner would run that once for every row.
  const steps = [...new Set([first, last, ...chosen.flatMap((row) => row.steps)])];
  const rows = await db
    .select()
    .from(run_metrics)
    .where(and(ofRun, inArray(run_metrics.step, steps)))
    .orderBy(asc(run_metrics.step));
  return { rows: rows.map(stepMetrics) };
}
