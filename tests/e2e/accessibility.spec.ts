import { expect, type Page, test } from "@playwright/test";
import { tinyLanguageModel, tinyModel } from "./language-model.ts";
import { storedSet } from "./stored-sets.ts";
import { completedRun, smallRun, studioClient } from "./studio.ts";
import { violations } from "./violations.ts";

let runId = "";
let penalisedId = "";
let saeId = "";
let subject = "";
let liveSaeId = "";
let model = "";
let dataset = "";
let unread = "";
let tokens = "";

test.beforeAll(async () => {
  const client = studioClient();
  const ids = await tinyLanguageModel(client);
  subject = `tokenization=${ids.tokenization_id}`;
  const { model_id, tokenization_id } = ids;
  model = `/models/${model_id}`;
  dataset = `/datasets/${ids.dataset_id}`;
  tokens = `${dataset}/tokens/${tokenization_id}`;
  const table = await client.uploadDataset(new Blob(["a,b\nc,d\n"]), { file_name: "unread.csv" });
  unread = `/datasets/${table.id}`;
  const source = { kind: "live" as const, model_id, tokenization_id, hooks: ["blocks.0.hook_resid_post"] };
  const live = { ...smallRun("Looked at, live", { steps: 20, batch: 32 }), source };
  liveSaeId = (await completedRun(client, live)).sae!.id;
  const run = await completedRun(client, smallRun("Looked at", { steps: 20, metrics_every_steps: 2 }));
  const penalised = smallRun("Penalised", { steps: 20, metrics_every_steps: 2, architecture: "gated" });
  const { k: _none, ...config } = penalised.config;
  runId = run.id;
  saeId = run.sae!.id;
  penalisedId = (await completedRun(client, { ...penalised, config: { ...config, target_l0: 3 } })).id;
  const set = await storedSet(client, { name: "For evaluation", hook_name: "blocks.0.hook", d_in: 16 });
  await client.api.saes.evaluate.mutate({ id: saeId, activation_set_ids: [set], tokens: 256 });
});

interface Place {
  name: string;
  path: () => string;
  /** What has to be there before the page is judged. */
  ready: (page: Page) => Promise<void>;
}

const places: readonly Place[] = [
  {
    name: "list of runs",
    path: () => "/runs",
    ready: (page) => expect(page.getByRole("link", { name: "Looked at" }).first()).toBeVisible(),
  },
  {
    name: "new run",
    path: () => "/runs/new",
    ready: async (page) => {
      await page.getByRole("button", { name: /^Optimizer/ }).click();
      await page.getByRole("button", { name: /^Dictionary/ }).click();
      await page.getByLabel("k", { exact: true }).fill("0");
      await expect(page.getByText("to correct").first()).toBeVisible();
    },
  },
  {
    name: "new run of several hook points",
    path: () => "/runs/new",
    ready: async (page) => {
      await page.getByText("Crosscoder", { exact: true }).click();
      await page.getByRole("button", { name: "Add a hook point" }).click();
      await expect(page.getByRole("combobox", { name: "Hook point 3" })).toBeVisible();
    },
  },
  {
    name: "new run beside a language model",
    path: () => `/runs/new?${subject}`,
    ready: async (page) => {
      await expect(page.getByRole("region", { name: "Live or from disk" })).toContainText("KiB");
      await page.getByRole("combobox", { name: "Hook point", exact: true }).click();
      await expect(page.getByRole("option", { name: "blocks.0.hook_resid_post" })).toBeVisible();
    },
  },
  {
    name: "explanation of an architecture",
    path: () => "/runs/new",
    ready: async (page) => {
      await page.getByText("JumpReLU", { exact: true }).click();
      await page.getByRole("button", { name: "About JumpReLU" }).click();
      await expect(page.getByRole("dialog", { name: "JumpReLU" })).toBeVisible();
    },
  },
  {
    name: "import dialog",
    path: () => "/runs/new",
    ready: async (page) => {
      await page.getByRole("button", { name: "Activation set" }).click();
      await page.getByRole("button", { name: /^Import/ }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
    },
  },
  {
    name: "run",
    path: () => `/runs/${runId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "Data table" }).click();
      await expect(page.getByRole("region", { name: "Metric rows" })).toBeVisible();
    },
  },
  {
    name: "penalised run",
    path: () => `/runs/${penalisedId}`,
    ready: (page) => expect(page.getByRole("img", { name: /^Sparsity coefficient at/ })).toBeVisible(),
  },
  {
    name: "list of SAEs",
    path: () => "/saes",
    ready: (page) => expect(page.getByRole("link", { name: "Looked at", exact: true }).first()).toBeVisible(),
  },
  {
    name: "import of an SAE",
    path: () => "/saes",
    ready: async (page) => {
      await page.getByRole("button", { name: "Import an SAE" }).click();
      await page.getByLabel("Path").fill("/nowhere");
      await page.getByRole("button", { name: "Look inside" }).click();
      await expect(page.getByRole("dialog").getByRole("alert")).toBeVisible();
    },
  },
  {
    name: "SAE",
    path: () => `/saes/${saeId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "All figures" }).click();
      await expect(page.getByText("Nearest decoder row")).toBeVisible();
    },
  },
  {
    name: "evaluation of an SAE",
    path: () => `/saes/${saeId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "Evaluate" }).first().click();
      await expect(page.getByRole("combobox", { name: "Activation set" })).toBeVisible();
    },
  },
  {
    name: "SAE measured in its model",
    path: () => `/saes/${liveSaeId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "All figures" }).click();
      await expect(page.getByText("KL recovered")).toBeVisible();
    },
  },
  {
    name: "evaluation in a model",
    path: () => `/saes/${liveSaeId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "Evaluate" }).first().click();
      await expect(page.getByRole("combobox", { name: "Model" })).toContainText(tinyModel.model);
    },
  },
  {
    name: "export of an SAE",
    path: () => `/saes/${saeId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "Export" }).click();
      await expect(page.getByRole("dialog").getByRole("link", { name: "Download" })).toBeVisible();
    },
  },
  {
    name: "confirmation of a deletion",
    path: () => `/runs/${runId}`,
    ready: async (page) => {
      await page.getByRole("button", { name: "Delete" }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
    },
  },
  {
    name: "missing run",
    path: () => "/runs/00000000-0000-7000-8000-000000000000",
    ready: (page) => expect(page.getByText("There is no such run")).toBeVisible(),
  },
  {
    name: "activations",
    path: () => "/activations",
    ready: (page) => expect(page.getByRole("button", { name: "Import activations" })).toBeVisible(),
  },
  {
    name: "capture of activations",
    path: () => `/activations?capture=1&${subject}`,
    ready: async (page) => {
      await page.getByRole("button", { name: /^Excluded tokens/ }).click();
      await page.getByLabel("Excluded token ids", { exact: true }).fill("none");
      await expect(page.getByRole("region", { name: "Estimate" })).toContainText("KiB");
    },
  },
  {
    name: "list of models",
    path: () => "/models",
    ready: (page) => expect(page.getByRole("link", { name: tinyModel.model, exact: true })).toBeVisible(),
  },
  {
    name: "import of a model",
    path: () => "/models",
    ready: async (page) => {
      await page.getByRole("button", { name: "Import a model" }).click();
      await page.getByRole("button", { name: "On the server" }).click();
      await page.getByRole("textbox", { name: "Path" }).fill(`${process.env.FACET_E2E_HOME}/given/tiny-gpt2`);
      await page.getByRole("button", { name: "Preview" }).click();
      await expect(page.getByRole("button", { name: /^Import \d/ })).toBeVisible();
    },
  },
  {
    name: "model",
    path: () => model,
    ready: (page) => expect(page.getByRole("row", { name: /blocks\.0\.hook_resid_pre/ })).toBeVisible(),
  },
  {
    name: "list of datasets",
    path: () => "/datasets",
    ready: (page) => expect(page.getByText(/^unread\.csv has several columns/).first()).toBeVisible(),
  },
  {
    name: "import of a dataset",
    path: () => "/datasets",
    ready: async (page) => {
      await page.getByRole("button", { name: "Import a dataset" }).click();
      await page.getByRole("button", { name: "On this computer" }).click();
      await page.getByRole("button", { name: /^Text column/ }).click();
      await page.getByRole("textbox", { name: "Limit of documents" }).fill("none");
      await expect(page.getByText("must be a whole number from 1")).toBeVisible();
    },
  },
  {
    name: "dataset, searched",
    path: () => dataset,
    ready: async (page) => {
      await page.getByRole("searchbox", { name: "Search the documents" }).fill("red");
      await expect(page.locator("mark").first()).toBeVisible();
    },
  },
  {
    name: "dataset that could not be read",
    path: () => unread,
    ready: (page) => expect(page.getByRole("button", { name: "Try again" })).toBeVisible(),
  },
  {
    name: "tokenizing",
    path: () => dataset,
    ready: async (page) => {
      await page.getByRole("button", { name: "Tokenize" }).click();
      await expect(page.getByRole("list", { name: "Sequence 1" })).toBeVisible();
    },
  },
  {
    name: "tokenization",
    path: () => tokens,
    ready: (page) => expect(page.getByRole("list", { name: "Sequence 0" })).toBeVisible(),
  },
  {
    name: "playground without WebGPU",
    path: () => "/playground",
    ready: (page) => expect(page.getByText("Without any GPU")).toBeVisible(),
  },
  {
    name: "system",
    path: () => "/system",
    ready: (page) => expect(page.getByText("Heartbeat")).toBeVisible(),
  },
  {
    name: "not found",
    path: () => "/nothing-here",
    ready: (page) => expect(page.getByText("There is nothing at this address")).toBeVisible(),
  },
];

for (const { name, path, ready } of places) {
  test(`no accessibility violations: ${name}`, async ({ page }) => {
    await page.goto(path());
    await ready(page);
    expect(await violations(page)).toEqual([]);
  });
}

test("narrow screens lose nothing to the side", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of [
    "/runs",
    "/runs/new",
    `/runs/new?${subject}`,
    `/runs/${runId}`,
    `/runs/${penalisedId}`,
    "/activations",
    "/models",
    model,
    "/datasets",
    dataset,
    unread,
    tokens,
    "/saes",
    `/saes/${saeId}`,
    `/saes/${liveSaeId}`,
    "/playground",
    "/system",
  ]) {
    await page.goto(path);
    await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
    await expect(page.getByRole("navigation", { name: "Studio, narrow" })).toBeVisible();
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow, path).toBeLessThanOrEqual(0);
  }
});
