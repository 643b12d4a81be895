import { and, desc, eq, isNotNull, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { run_metrics, runs, workers } from "../../db/schema.ts";
import { captureDtypes } from "../../db/vocabulary.ts";
import { type Precision, precisions } from "../../gpu/lm/precision.ts";
import { estimateCapture } from "../captures/request.ts";

export const predictInput = z.object({
  model_id: z.uuid(),
  tokenization_id: z.uuid(),
  hooks: z.array(z.string().trim().min(1).max(200)).min(1).max(64),
  /** Rows that the run is to see. */
  training_tokens: z.number().int().min(1),
  /** How a capture would store them. */
  dtype: z.enum(captureDtypes).default("float16"),
  /** Of the model's weights on the GPU. */
  precision: z.enum(precisions).default("f32"),
});

/** A rate that was measured here, and where. */
export interface PredictedRate {
  tokens_per_second: number;
  /** "measured in “a run” on adapter". */
  from: string;
}

/** The choice between training live and from disk, in numbers. What no run or capture has measured yet is null. */
export interface SourcePrediction {
  /** Rows that the tokenization offers an epoch. */
  rows: number;
  /** Times that the run goes through them. */
  epochs: number;
  live: {
    /** Rows trained on a second, forward pass included. */
    rate: PredictedRate | null;
    seconds: number | null;
    /** On disk: nothing. */
    bytes: 0;
  };
  disk: {
    /** Tokens captured a second. */
    capture_rate: PredictedRate | null;
    capture_seconds: number | null;
    /** Rows trained on a second, from stored activations. */
    rate: PredictedRate | null;
    seconds: number | null;
    /** On disk, exactly. */
    bytes: number;
    free_bytes: number | null;
  };
  /** Which is better for this run, and why, in a sentence. */
  advice: string;
}

/** Throws `InvalidInputError` for what does not exist or fit. */
export async function predictSource(
  db: Executor,
  home: string,
  { training_tokens, ...subject }: z.output<typeof predictInput>,
): Promise<SourcePrediction> {
  const estimate = await estimateCapture(db, home, {
    ...subject,
    options: { excluded_token_ids: [], batch_size: null },
  });
  const [live, disk] = await Promise.all([
    trainingRate(db, subject, "live"),
    trainingRate(db, subject, "activation_set"),
  ]);
  const capture_rate =
    estimate.seconds === null
      ? null
      : { tokens_per_second: estimate.tokens / estimate.seconds, from: estimate.seconds_note };
  const secondsAt = (rate: PredictedRate | null) =>
    rate === null ? null : training_tokens / rate.tokens_per_second;
  const epochs = training_tokens / estimate.rows;
  const { bytes, free_bytes } = estimate;
  return {
    rows: estimate.rows,
    epochs,
    live: { rate: live, seconds: secondsAt(live), bytes: 0 },
    disk: {
      capture_rate,
      capture_seconds: estimate.seconds,
      rate: disk,
      seconds: secondsAt(disk),
      bytes,
      free_bytes,
    },
    advice: adviceFor({ epochs, bytes, free_bytes }),
  };
}

function adviceFor(known: { epochs: number; bytes: number; free_bytes: number | null }): string {
  if (known.free_bytes !== null && known.bytes > known.free_bytes) {
    return "Train live: the activations do not fit on the disk of FACET_HOME.";
  }
  if (known.epochs > 1.5) {
    return `Train from disk: the run goes ${known.epochs.toFixed(1)} times through the tokens, and a capture runs the model over them once.`;
  }
  return "Train live for a single run, since it sees each token about once; capture when several SAEs are to be trained on the same activations.";
}

/** Rows a second of the newest run that ended on activations of a model; live, with its weights in this precision. */
async function trainingRate(
  db: Executor,
  { model_id, precision }: { model_id: string; precision: Precision },
  kind: "live" | "activation_set",
): Promise<PredictedRate | null> {
  const ofModel =
    kind === "live"
      ? and(eq(runs.model_id, model_id), eq(runs.precision, precision))
      : sql`exists (select 1 from run_activation_sets r join activation_sets s on s.id = r.activation_set_id
          where r.run_id = ${runs.id} and s.model_id = ${model_id})`;
  const [row] = await db
    .select({
      name: runs.name,
      adapter: workers.adapter,
      rate: sql<number | null>`(select percentile_cont(0.5) within group (order by m.tokens_per_second)
        from ${run_metrics} m where m.run_id = ${runs.id} and m.tokens_per_second > 0)`,
    })
    .from(runs)
    .innerJoin(workers, eq(workers.id, runs.worker_id))
    .where(and(eq(runs.source_kind, kind), isNotNull(runs.ended_at), ofModel))
    .orderBy(desc(runs.ended_at))
    .limit(1);
  if (row === undefined || row.rate === null) return null;
  return {
    tokens_per_second: Number(row.rate),
    from: `measured in “${row.name}” on ${row.adapter ?? "an adapter that is not known"}`,
  };
}
