import { rm } from "node:fs/promises";
import path from "node:path";
import { and, eq, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { tokenizations } from "../../db/schema.ts";
import { uuidv7 } from "../../db/uuid.ts";
import { datasetPath, readyDataset } from "../datasets/list.ts";
import { ConflictError, InvalidInputError, NotFoundError } from "../errors.ts";
import { modelPath, readyModel } from "../models/list.ts";
import { abandonedReason, abandonedSeconds, canceledReason, startRowWork } from "../row-work.ts";
import type { Services } from "../services.ts";
import { tokenizationPath } from "./list.ts";
import type { TokenSetManifest } from "./manifest.ts";
import type { TokenizeOptionsInput } from "./options.ts";
import { previewTokens, type TokenPreview } from "./preview.ts";
import { planTokenization, tokenizeDataset } from "./tokenize.ts";

/** The tokenizer names everything that is wrong with them by itself. */
const tokenizeOptions = z
  .custom<TokenizeOptionsInput>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "The options are a group of fields.",
  )
  .default({});

export const previewTokensInput = z.object({
  model_id: z.uuid(),
  /** A text of its own, or documents of a dataset. */
  source: z.union([
    z.strictObject({ text: z.string().max(65_536) }),
    z.strictObject({
      dataset_id: z.uuid(),
      /** First document, and how many. */
      first: z.number().int().min(0).default(0),
      count: z.number().int().min(1).max(100).default(20),
    }),
  ]),
  options: tokenizeOptions,
  /** Sequences to show. */
  sequences: z.number().int().min(1).max(20).default(3),
});

export const createTokenizationInput = z.object({
  dataset_id: z.uuid(),
  model_id: z.uuid(),
  /** Default: the dataset's name and the context size. */
  name: z.string().trim().min(1).max(200).optional(),
  options: tokenizeOptions,
});

type TokenServices = Pick<Services, "db" | "env" | "background">;

/**
 * The first sequences as they would be made. Throws `ConflictError` for a dataset or model that is not ready,
 * `InvalidInputError` for options that are wrong, `TokenizerError` for a model without a tokenizer that can be used.
 */
export async function previewTokenization(
  { db, env }: Pick<Services, "db" | "env">,
  { model_id, source, options, sequences }: z.output<typeof previewTokensInput>,
): Promise<TokenPreview> {
  await readyModel(db, model_id);
  if ("dataset_id" in source) await readyDataset(db, source.dataset_id);
  return withOptionPaths(() =>
    previewTokens({
      model: path.join(env.home, modelPath(model_id)),
      source:
        "text" in source
          ? source
          : {
              dataset: path.join(env.home, datasetPath(source.dataset_id)),
              first: source.first,
              count: source.count,
            },
      options,
      sequences,
    }),
  );
}

/**
 * Begins to tokenize and returns at once; it is `tokenizing` until it is `ready` or `failed`. Throws `ConflictError` for
 * a dataset or model that is not ready and naming the tokenization that is the same already, `InvalidInputError` for
 * options that are wrong, `TokenizerError` for a model without a tokenizer that can be used.
 */
export async function createTokenization(
  services: TokenServices,
  { dataset_id, model_id, name, options }: z.output<typeof createTokenizationInput>,
): Promise<{ id: string }> {
  const { db, env } = services;
  const dataset = await readyDataset(db, dataset_id);
  const model = await readyModel(db, model_id);
  const { packing, hash } = await withOptionPaths(() =>
    planTokenization({
      dataset: path.join(env.home, datasetPath(dataset_id)),
      model: path.join(env.home, modelPath(model_id)),
      options,
    }),
  );
  const [row] = await db
    .insert(tokenizations)
    .values({
      id: uuidv7(),
      name: name ?? `${dataset.name.slice(0, 150)}, ${packing.context_size} tokens`,
      dataset_id,
      model_id,
      options: packing,
      // A plan is made only with a tokenizer, which the import of its model has hashed.
      tokenizer_sha256: model.tokenizer_sha256 ?? "",
      context_size: packing.context_size,
      hash,
    })
    .onConflictDoNothing({ target: tokenizations.hash })
    .returning();
  if (row === undefined) throw await sameAlready(db, hash);
  begin(services, row);
  return { id: row.id };
}

async function sameAlready(db: Executor, hash: string): Promise<ConflictError> {
  const [same] = await db.select().from(tokenizations).where(eq(tokenizations.hash, hash));
  if (same === undefined) return new ConflictError("The same tokenization was being deleted; ask once more.");
  const next =
    same.status === "ready" ? "use it" : same.status === "tokenizing" ? "wait for it" : "try that one again";
  return new ConflictError(
    `“${same.name}” is the same: of this dataset, with this tokenizer and these options. It is ${same.status}; ${next}.`,
  );
}

/** Faults of the options at the paths that they have in the input. */
async function withOptionPaths<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    const paths = ["text", "count"];
    throw new InvalidInputError(
      error.faults.map(({ path: at, message }) => ({
        path: paths.includes(at) ? `source.${at}` : at === "" ? "options" : `options.${at}`,
        message,
      })),
    );
  }
}

type TokenizationRow = typeof tokenizations.$inferSelect;

function begin({ db, env, background }: TokenServices, row: TokenizationRow): void {
  const { id, attempt } = row;
  const folder = path.join(env.home, tokenizationPath(id));
  const mine = and(
    eq(tokenizations.id, id),
    eq(tokenizations.status, "tokenizing"),
    eq(tokenizations.attempt, attempt),
  );
  startRowWork<TokenSetManifest>({
    background,
    key: workKey(id),
    work: (signal, report) =>
      tokenizeDataset({
        dataset: path.join(env.home, datasetPath(row.dataset_id)),
        model: path.join(env.home, modelPath(row.model_id)),
        folder,
        options: row.options,
        signal,
        onProgress: ({ documents, total_documents, tokens }) =>
          report({
            stage: "tokenizing",
            done: documents,
            total: total_documents,
            unit: "documents",
            note: `${tokens.toLocaleString("en")} tokens`,
          }),
      }),
    async write(columns) {
      const rows = await db
        .update(tokenizations)
        .set({ ...columns, updated_at: sql`now()` })
        .where(mine)
        .returning({ id: tokenizations.id });
      return rows.length > 0;
    },
    async finish(manifest) {
      const rows = await db
        .update(tokenizations)
        .set({ ...columnsOf(manifest), updated_at: sql`now()` })
        .where(mine)
        .returning({ id: tokenizations.id });
      return rows.length > 0;
    },
    discard: () => rm(folder, { recursive: true, force: true }),
  });
}

function columnsOf(manifest: TokenSetManifest) {
  const { n_sequences, held_out_sequences, n_documents, n_text_tokens, n_special_tokens, n_padding_tokens } =
    manifest;
  const { document_tokens, tokens_per_character, n_dropped_tokens, shards, spans, span_index } = manifest;
  const files = [spans, span_index, ...shards.flatMap(({ ids, kinds }) => [ids, kinds])];
  return {
    status: "ready" as const,
    progress: null,
    reason: null,
    n_sequences,
    held_out_sequences,
    n_documents,
    n_text_tokens,
    n_special_tokens,
    n_padding_tokens,
    statistics: { document_tokens, tokens_per_character, n_dropped_tokens },
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
  };
}

const workKey = (id: string) => `tokenization ${id}`;

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
  await background.cancel(workKey(id));
  return { id };
}

/** Tries one again that failed, was canceled or cut. Throws `ConflictError`. */
export async function retryTokenization(
  services: TokenServices,
  { id }: z.output<typeof tokenizationInput>,
): Promise<{ id: string }> {
  const [row] = await services.db
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
  if (row === undefined) throw await notInState(services.db, id, "failed");
  begin(services, row);
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
