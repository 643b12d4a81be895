import path from "node:path";
import { getDataset } from "../../server/datasets/list.ts";
import { importDatasetFrom } from "../../server/datasets/register.ts";
import { getModel } from "../../server/models/list.ts";
import { importModelFrom } from "../../server/models/register.ts";
import { getTokenization } from "../../server/tokens/list.ts";
import { createTokenization } from "../../server/tokens/register.ts";
import type { TestServices } from "./api-server.ts";
import { writeTinyModel, writeTinyTexts } from "./tiny-model.ts";

// What captures and live runs begin with, made as the server makes it.

async function settled(look: () => Promise<{ status: string; reason: string | null }>): Promise<void> {
  for (;;) {
    const { status, reason } = await look();
    if (status === "ready") return;
    if (status === "failed") throw new Error(reason ?? "It failed.");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A tiny model in the database; those of one seed are the same. */
export async function readyModelOf({ services }: TestServices, name: string, seed = 1): Promise<string> {
  const folder = await writeTinyModel(path.join(services.env.home, "given", `model-${seed}`), seed);
  const { id } = await importModelFrom(services, { source: { kind: "folder", path: folder }, name });
  await settled(() => getModel(services.db, { id }));
  return id;
}

/** A dataset of short texts. */
export async function readyDatasetOf({ services }: TestServices, name: string, count = 40): Promise<string> {
  const file = await writeTinyTexts(path.join(services.env.home, "given", `${name}.jsonl`), count);
  const { id } = await importDatasetFrom(services, {
    source: { kind: "path", path: file },
    name,
    options: { text_column: null, split_on: null, limit_documents: null, limit_characters: null },
  });
  await settled(() => getDataset(services.db, { id }));
  return id;
}

/** Sequences of 16 tokens with a BOS token each, a tenth of them held out. */
export async function readyTokenizationOf(
  { services }: TestServices,
  ids: { model_id: string; dataset_id: string },
  options: Parameters<typeof createTokenization>[1]["options"] = {},
): Promise<string> {
  const { id } = await createTokenization(services, {
    ...ids,
    options: { context_size: 16, held_out: 0.1, ...options },
  });
  await settled(() => getTokenization(services.db, { id }));
  return id;
}
