import { desc, eq, getTableColumns, sql } from "drizzle-orm";
import type { Executor } from "../../db/executor.ts";
import { runs, sae_evaluations, saes } from "../../db/schema.ts";
import { writableFormats } from "../formats/formats.ts";
import type { SaeFormat } from "../formats/sae-source.ts";
import type { Recovery } from "../runs/views.ts";
import { exportRefusal } from "./export.ts";
import type { ModelMeasures, SaeMeasures } from "./measures.ts";
import { neededSets } from "./needed-sets.ts";
import type { SaeDetail, SaeEvaluationView, SaeSummary } from "./views.ts";

// Rows to views: the one place where what the database holds takes the shape that travels.

type SaeRow = typeof saes.$inferSelect;

/** A figure of the evaluation after training, else of the newest one on stored activations. Tables in full, for Drizzle. */
const figure = (own: string, measured: string) => sql<number | null>`coalesce(
  (${saes}.evaluation ->> ${sql.raw(`'${own}'`)})::float8,
  (select (e.result #>> ${sql.raw(`'{${measured}}'`)})::float8 from ${sae_evaluations} e
   where e.sae_id = ${saes}.id and e.kind = 'activations' and e.status = 'done' order by e.id desc limit 1))`;

export const saeFigures = {
  fvu: figure("fvu", "reconstruction,fvu"),
  l0: figure("l0", "firing,l0"),
};

/** Columns of a query over saes left-joined with runs that `saeSummary` needs. */
export const saeColumns = { sae: getTableColumns(saes), run_name: runs.name, ...saeFigures };

export interface SaeSummaryRow {
  sae: SaeRow;
  run_name: string | null;
  l0: number | null;
  fvu: number | null;
}

export function saeSummary({ sae, run_name, l0, fvu }: SaeSummaryRow): SaeSummary {
  const { id, name, status, reason, origin, architecture, hook_name, model_name, dataset_name } = sae;
  const { d_in, d_out, d_sae, bytes } = sae;
  return {
    id,
    name,
    status,
    reason,
    run: sae.run_id === null ? null : { id: sae.run_id, name: run_name ?? name },
    origin,
    // Only `recordSae` and `importSae` write it, and both have it of this type.
    format: sae.format as SaeFormat,
    architecture,
    hook_name,
    model_name,
    dataset_name,
    d_in,
    d_out,
    d_sae,
    bytes,
    l0: l0 === null ? null : Number(l0),
    fvu: fvu === null ? null : Number(fvu),
    created_at: sae.created_at.toISOString(),
  };
}

export function saeDetail(row: SaeSummaryRow, evaluations: SaeEvaluationView[]): SaeDetail {
  const { path, sha256, config, evaluation, recovery, histograms } = row.sae;
  return {
    ...saeSummary(row),
    path,
    sha256,
    config,
    evaluation,
    recovery: recovery as Recovery | null,
    histograms,
    exports: writableFormats.map((format) => ({
      format,
      refusal: config === null ? null : exportRefusal(format, config),
    })),
    needed_sets: config === null ? [] : neededSets(config),
    evaluations,
  };
}

/** Newest first. */
export async function readEvaluations(db: Executor, saeId: string): Promise<SaeEvaluationView[]> {
  const rows = await db
    .select()
    .from(sae_evaluations)
    .where(eq(sae_evaluations.sae_id, saeId))
    .orderBy(desc(sae_evaluations.id));
  return rows.map((row) => ({
    id: row.id,
    status: row.status,
    progress: row.progress,
    reason: row.reason,
    kind: row.kind,
    sets: row.sets,
    subject: row.subject,
    n_sequences: row.n_sequences,
    precision: row.kind === "model" ? row.precision : null,
    tokens: row.tokens,
    // Only the worker writes it, of the evaluation's kind.
    result: row.kind === "activations" ? (row.result as SaeMeasures | null) : null,
    model_result: row.kind === "model" ? (row.result as ModelMeasures | null) : null,
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  }));
}
