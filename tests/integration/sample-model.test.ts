import { afterAll, beforeAll, expect, it } from "vitest";
import { getDataset, listDatasets } from "../../server/datasets/list.ts";
import { deleteModel } from "../../server/models/delete.ts";
import { getModel, listModels } from "../../server/models/list.ts";
import { ensureSampleModel } from "../../server/models/sample.ts";
import { deleteTokenization } from "../../server/tokens/delete.ts";
import { getTokenization, listTokenizations } from "../../server/tokens/list.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { until } from "./processes.ts";

let test: TestServices;
beforeAll(async () => {
  test = await testServices();
});
afterAll(() => test.close());

const page = { sort: { by: "created_at", direction: "desc" }, limit: 10 } as const;

it("the sample model and text are made once, tokenized, and not brought back", async () => {
  const { services } = test;
  const { db, env } = services;
  const signal = new AbortController().signal;
  // As a start that was cut at once leaves it.
  const cut = new AbortController();
  cut.abort();
  await ensureSampleModel(services, cut.signal);
  await ensureSampleModel(services, signal);
  await ensureSampleModel(services, signal);
  const models = await listModels(db, page);
  expect(models.items).toMatchObject([
    { name: "Sample language model", status: "ready", source: { kind: "sample" }, has_tokenizer: true },
  ]);
  const datasets = await listDatasets(db, page);
  expect(datasets.items).toMatchObject([
    { name: "Sample stories", status: "ready", source: { kind: "sample" } },
  ]);
  const [tokenization] = (await listTokenizations(db, { limit: 10 })).items;
  const id = tokenization!.id;
  await until("it is tokenized", async () => (await getTokenization(db, { id })).status === "ready");
  expect(await getTokenization(db, { id })).toMatchObject({
    dataset: { name: "Sample stories" },
    model: { name: "Sample language model" },
    context_size: 128,
  });
  await deleteTokenization(db, env.home, { id });
  await deleteModel(db, env.home, { id: models.items[0]!.id });
  await ensureSampleModel(services, signal);
  expect((await listModels(db, page)).total).toBe(0);
  expect((await listTokenizations(db, { limit: 10 })).total).toBe(0);
  await expect(getModel(db, { id: models.items[0]!.id })).rejects.toThrow(/There is no model/);
  expect((await getDataset(db, { id: datasets.items[0]!.id })).status).toBe("ready");
});
