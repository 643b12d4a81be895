import path from "node:path";
import type { FacetClient } from "../../server/client.ts";
import { writeTinyModel, writeTinyTexts } from "../integration/tiny-model.ts";

export interface LanguageModel {
  model_id: string;
  dataset_id: string;
  tokenization_id: string;
}

/** What the studio shows of it. */
export const tinyModel = {
  model: "Tiny GPT-2",
  dataset: "Tiny texts",
  tokenization: "Tiny texts, 16 tokens",
} as const;

/** Asks until what was begun is ready. Throws what it failed with. */
async function settled(look: () => Promise<{ status: string; reason: string | null }>): Promise<void> {
  for (;;) {
    const { status, reason } = await look();
    if (status === "ready") return;
    if (status === "failed") throw new Error(reason ?? "It failed.");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A tiny model of random weights, texts, and their tokens in sequences of 16, a fifth of them held out; made once. */
export async function tinyLanguageModel({ api }: FacetClient): Promise<LanguageModel> {
  const given = path.join(process.env.FACET_E2E_HOME ?? "", "given");
  const { model: name, dataset, tokenization } = tinyModel;
  const known = (await api.tokenizations.list.query({ text: tokenization })).items.find(
    (one) => one.name === tokenization && one.status === "ready",
  );
  if (known) return { model_id: known.model.id, dataset_id: known.dataset.id, tokenization_id: known.id };
  const folder = await writeTinyModel(path.join(given, "tiny-gpt2"));
  const file = await writeTinyTexts(path.join(given, "tiny-texts.jsonl"), 60);
  const { id: model_id } = await api.models.import.mutate({ source: { kind: "folder", path: folder }, name });
  const { id: dataset_id } = await api.datasets.import.mutate({
    source: { kind: "path", path: file },
    name: dataset,
    options: {},
  });
  await settled(() => api.models.get.query({ id: model_id }));
  await settled(() => api.datasets.get.query({ id: dataset_id }));
  const { id: tokenization_id } = await api.tokenizations.create.mutate({
    model_id,
    dataset_id,
    name: tokenization,
    options: { context_size: 16, held_out: 0.2 },
  });
  await settled(() => api.tokenizations.get.query({ id: tokenization_id }));
  return { model_id, dataset_id, tokenization_id };
}
