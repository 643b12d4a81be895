import { eq } from "drizzle-orm";
import { settings } from "../../db/schema.ts";
import { getDataset } from "../datasets/list.ts";
import { importSampleDataset, retryDatasetImport } from "../datasets/register.ts";
import { ConflictError, NotFoundError } from "../errors.ts";
import type { Services } from "../services.ts";
import { createTokenization } from "../tokens/register.ts";
import { getModel } from "./list.ts";
import { importSampleModel, retryModelImport } from "./register.ts";

const marker = "sample_model";
const lookMs = 200;

interface Sample {
  model_id: string;
  dataset_id: string;
  /** The tokenization was made as well. */
  done: boolean;
}

/**
 * Gives a database that never had them the language model and the text that come with the project, once, and tokenizes
 * the one for the other; what was deleted is not brought back. A start that was cut is finished by the next.
 */
export async function ensureSampleModel(
  services: Pick<Services, "db" | "env" | "background">,
  signal: AbortSignal,
): Promise<void> {
  const sample = await sampleOf(services);
  if (sample.done) return;
  const ids = { model_id: sample.model_id, dataset_id: sample.dataset_id };
  try {
    await ready(
      signal,
      () => getModel(services.db, { id: ids.model_id }),
      () => retryModelImport(services, { id: ids.model_id }),
    );
    await ready(
      signal,
      () => getDataset(services.db, { id: ids.dataset_id }),
      () => retryDatasetImport(services, { id: ids.dataset_id }),
    );
    await createTokenization(services, { ...ids, options: {} });
  } catch (error) {
    if (signal.aborted) return;
    // Deleted meanwhile, or tokenized by hand: the user has taken it over.
    if (!(error instanceof NotFoundError || error instanceof ConflictError)) throw error;
  }
  await services.db
    .update(settings)
    .set({ value: { ...ids, done: true } satisfies Sample })
    .where(eq(settings.key, marker));
}

async function sampleOf(services: Pick<Services, "db" | "env" | "background">): Promise<Sample> {
  const { db } = services;
  const known = async () => {
    const [row] = await db.select().from(settings).where(eq(settings.key, marker));
    // Only written below.
    return (row?.value as Sample | undefined) ?? null;
  };
  const before = await known();
  if (before !== null) return before;
  const model_id = (await importSampleModel(services)).id;
  const dataset_id = (await importSampleDataset(services)).id;
  const sample: Sample = { model_id, dataset_id, done: false };
  const [made] = await db
    .insert(settings)
    .values({ key: marker, value: sample })
    .onConflictDoNothing()
    .returning();
  return made === undefined ? (await known())! : sample;
}

/** Waits for an import, which is tried once more where it failed. Throws `NotFoundError` where it is gone. */
async function ready(
  signal: AbortSignal,
  look: () => Promise<{ status: string; reason: string | null }>,
  retry: () => Promise<unknown>,
): Promise<void> {
  let tried = false;
  for (;;) {
    signal.throwIfAborted();
    const { status, reason } = await look();
    if (status === "ready") return;
    if (status === "failed") {
      if (tried) throw new ConflictError(reason ?? "The sample could not be imported.");
      tried = true;
      await retry();
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}
