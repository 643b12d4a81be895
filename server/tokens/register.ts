import { and, eq, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { tokenizations } from "../../db/schema.ts";
import { awaiting } from "../awaiting.ts";
import { readyDataset } from "../datasets/list.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import { readyModel } from "../models/list.ts";
import { abandonedReason, abandonedSeconds, canceledReason } from "../row-work.ts";
import type { Services } from "../services.ts";
import type { TokenPreviewView } from "./views.ts";

const tokenizeOptionsSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));

export const previewTokensInput = z.object({
  dataset_id: z.uuid(),
  model_id: z.uuid(),
  options: tokenizeOptionsSchema.default({}),
  /** Sequences to show. */
  sequences: z.number().int().min(1).max(20).default(3),
});

export const createTokenizationInput = z.object({
  dataset_id: z.uuid(),
  model_id: z.uuid(),
  /** Default: the dataset's name and the context size. */
  name: z.string().trim().min(1).max(200).optional(),
  options: tokenizeOptionsSchema.default({}),
});

type TokenServices = Pick<Services, "db" | "env" | "background">;

/** The first sequences as they would be made. Throws `ConflictError` for a dataset or model that is not ready. */
export async function previewTokenization(
  { db }: TokenServices,
  { dataset_id, model_id }: z.output<typeof previewTokensInput>,
  _signal?: AbortSignal,
): Promise<TokenPreviewView> {
  await readyDataset(db, dataset_id);
  await readyModel(db, model_id);
  return awaiting("Previewing tokens");
}

/**
 * Begins to tokenize and returns at once; it is `tokenizing` until it is `ready` or `failed`. Throws `ConflictError` for
 * a dataset or model that is not ready, and naming the tokenization that is the same already.
 */
export async function createTokenization(
  { db }: TokenServices,
  { dataset_id, model_id }: z.output<typeof createTokenizationInput>,
): Promise<{ id: string }> {
  await readyDataset(db, dataset_id);
  await readyModel(db, model_id);
  return awaiting("Tokenizing");
}

export const tokenizationInput = z.object({ id: z.uuid() });

/** Ends it; it can be tried again. Throws `ConflictError` when none is under way. */
export async function cancelTokenization(
  { db, background }: TokenServices,
  { id }: z.output<typeof tokenizationInput>,
): Promise<{ id: string }> {
  const ended = await db
    .update(tokenizations)
    .set({ status: "failed", reason: canceledReason, updated_at: sql`now()` })
    .where(and(eq(tokenizations.id, id), eq(tokenizations.status, "tokenizing")))
    .returning({ id: tokenizations.id });
  if (ended.length === 0) throw await notInState(db, id, "being tokenized");
  await background.cancel(`tokenization ${id}`);
  return { id };
}

/** Tries one again that failed, was canceled or cut. Throws `ConflictError`. */
export async function retryTokenization(
  { db }: TokenServices,
  { id }: z.output<typeof tokenizationInput>,
): Promise<{ id: string }> {
  awaiting("Tokenizing");
  const [row] = await db
    .update(tokenizations)
    .set({
      status: "tokenizing",
      reason: null,
      progress: null,
      attempt: sql`${tokenizations.attempt} + 1`,
      updated_at: sql`now()`,
    })
    .where(and(eq(tokenizations.id, id), eq(tokenizations.status, "failed")))
    .returning();
  if (row === undefined) throw await notInState(db, id, "failed");
  return { id };
}

async function notInState(db: Executor, id: string, wanted: string): Promise<Error> {
  const [row] = await db
    .select({ name: tokenizations.name, status: tokenizations.status })
    .from(tokenizations)
    .where(eq(tokenizations.id, id));
  return row === undefined
    ? new NotFoundError("tokenization", id)
    : new ConflictError(`“${row.name}” is ${row.status}, not ${wanted}.`);
}

/** Marks those whose process died as failed; part of the reaper's round. */
export async function failAbandonedTokenizations(db: Executor): Promise<void> {
  await db
    .update(tokenizations)
    .set({ status: "failed", reason: abandonedReason, updated_at: sql`now()` })
    .where(
      and(
        eq(tokenizations.status, "tokenizing"),
        lt(
          tokenizations.updated_at,
          sql`now() - make_interval(secs => ${sql.raw(String(abandonedSeconds))})`,
        ),
      ),
    );
}
