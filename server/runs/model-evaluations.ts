import { asc, eq, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { run_model_evaluations, runs } from "../../db/schema.ts";
import { NotFoundError } from "../errors.ts";
import type { ModelEvaluationAtStep } from "./views.ts";

export const modelEvaluationsInput = z.object({
  id: z.uuid(),
  /** Most rows wanted. */
  points: z.number().int().min(2).max(20_000).default(2_000),
});

/**
 * How a live run's SAE did in its model, in order of step: at the run's interval, and after its last step. Of more than
 * `points` rows, evenly spread ones, the newest always among them. Throws `NotFoundError`.
 */
export async function runModelEvaluations(
  db: Executor,
  { id, points }: z.output<typeof modelEvaluationsInput>,
): Promise<{ rows: ModelEvaluationAtStep[] }> {
  const [run] = await db.select({ id: runs.id }).from(runs).where(eq(runs.id, id));
  if (run === undefined) throw new NotFoundError("run", id);
  const { step, n_sequences, figures } = run_model_evaluations;
  const numbered = db
    .select({
      step,
      n_sequences,
      figures,
      back: sql<number>`row_number() over (order by ${step} desc) - 1`.as("back"),
      total: sql<number>`count(*) over ()`.as("total"),
    })
    .from(run_model_evaluations)
    .where(eq(run_model_evaluations.run_id, id))
    .as("numbered");
  const rows = await db
    .select({ step: numbered.step, n_sequences: numbered.n_sequences, figures: numbered.figures })
    .from(numbered)
    .where(sql`${numbered.back} % ceil(${numbered.total}::float8 / ${points})::bigint = 0`)
    .orderBy(asc(numbered.step));
  return { rows: rows.map(({ figures, ...row }) => ({ ...row, ...figures })) };
}
