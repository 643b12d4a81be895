import { and, eq, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { sae_evaluations, saes } from "../../db/schema.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { ModelMeasures, SaeMeasures } from "./measures.ts";

// What a worker writes of an evaluation. Every write happens only while that worker holds it; false says that it does
// not any more, since it was deleted or taken for dead, and that the worker should drop it.

export interface ClaimedEvaluation {
  id: string;
  workerId: string;
  name: string;
  /** Folder of the SAE, relative to FACET_HOME. */
  path: string;
  on: EvaluationGround;
}

/** What it is to be measured on. */
export type EvaluationGround =
  | { kind: "activations"; setIds: string[]; tokens: number }
  | {
      kind: "model";
      modelId: string;
      tokenizationId: string;
      hookName: string;
      precision: Precision;
      sequences: number;
    };

/** Takes a waiting evaluation; null when it is not waiting any more. */
export async function claimEvaluation(
  db: Executor,
  id: string,
  workerId: string,
): Promise<ClaimedEvaluation | null> {
  const [row] = await db
    .update(sae_evaluations)
    .set({
      status: "running",
      progress: 0,
      worker_id: workerId,
      started_at: sql`now()`,
      updated_at: sql`now()`,
    })
    .where(and(eq(sae_evaluations.id, id), eq(sae_evaluations.status, "queued")))
    .returning();
  if (row === undefined) return null;
  const [sae] = await db
    .select({ name: saes.name, path: saes.path })
    .from(saes)
    .where(eq(saes.id, row.sae_id));
  if (sae === undefined) return null;
  return { id, workerId, ...sae, on: groundOf(row) };
}

function groundOf(row: typeof sae_evaluations.$inferSelect): EvaluationGround {
  const { subject, n_sequences, precision, sets, tokens } = row;
  // The database's check sae_evaluations_model has both or neither of them.
  return subject === null || n_sequences === null
    ? { kind: "activations", setIds: sets.map((set) => set.id), tokens }
    : {
        kind: "model",
        modelId: subject.model.id,
        tokenizationId: subject.tokenization.id,
        hookName: subject.hook_name,
        precision,
        sequences: n_sequences,
      };
}

export function recordProgress(db: Executor, claim: ClaimedEvaluation, progress: number): Promise<boolean> {
  return write(db, claim, { progress });
}

export function recordResult(
  db: Executor,
  claim: ClaimedEvaluation,
  result: SaeMeasures | ModelMeasures,
): Promise<boolean> {
  return write(db, claim, { status: "done", progress: 1, result, reason: null, ended_at: sql`now()` });
}

export function recordFailure(db: Executor, claim: ClaimedEvaluation, reason: string): Promise<boolean> {
  return write(db, claim, { status: "failed", reason, ended_at: sql`now()` });
}

/** Leaves it for the next worker. */
export function recordRequeue(db: Executor, claim: ClaimedEvaluation): Promise<boolean> {
  return write(db, claim, { status: "queued", progress: 0, worker_id: null, started_at: null });
}

type Columns = Parameters<ReturnType<Executor["update"]>["set"]>[0];

async function write(
  db: Executor,
  { id, workerId }: ClaimedEvaluation,
  set: Columns & object,
): Promise<boolean> {
  const rows = await db
    .update(sae_evaluations)
    .set({ ...set, updated_at: sql`now()` })
    .where(
      and(
        eq(sae_evaluations.id, id),
        eq(sae_evaluations.status, "running"),
        eq(sae_evaluations.worker_id, workerId),
      ),
    )
    .returning({ id: sae_evaluations.id });
  return rows.length > 0;
}
