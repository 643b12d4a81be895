import { expect, type Locator, type Page } from "@playwright/test";
import { createFacetClient, type FacetClient } from "../../server/client.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import type { RunDetail } from "../../server/runs/views.ts";

/** The typed client of the server under test, for what a test only needs to be there. */
export function studioClient(): FacetClient {
  return createFacetClient({ url: `http://127.0.0.1:${process.env.FACET_E2E_PORT}` });
}

/** A small run on synthetic features: `steps` steps of `batch` tokens. */
export function smallRun(
  name: string,
  { steps, batch = 256, ...config }: { steps: number; batch?: number } & Partial<CreateRunInput["config"]>,
): CreateRunInput {
  return {
    name,
    source: { kind: "synthetic", synthetic: { d_in: 16, n_features: 32, orthogonalize_steps: 50 } },
    config: {
      d_in: 16,
      d_sae: 32,
      k: 2,
      training_tokens: steps * batch,
      train_batch_size_tokens: batch,
      n_batches_for_norm_estimate: 2,
      ...config,
    },
  };
}

export async function completedRun(client: FacetClient, input: CreateRunInput): Promise<RunDetail> {
  const { id } = await client.api.runs.create.mutate(input);
  await expect
    .poll(async () => (await client.api.runs.get.query({ id })).status, { timeout: 90_000 })
    .toBe("completed");
  return client.api.runs.get.query({ id });
}

/** Ends what a test left behind, so that the one worker is free for the next. */
export async function endRuns(client: FacetClient): Promise<void> {
  const { items } = await client.api.runs.list.query({
    status: ["queued", "initializing", "running", "interrupted"],
  });
  for (const { id, allowed } of items) {
    const control = allowed.find((name) => name === "cancel" || name === "stop");
    if (control === "cancel" || control === "stop") await client.api.runs.control.mutate({ id, control });
  }
}

/** How the page says it is kept up to date: "Live", "Polling", … */
export function shownConnection(page: Page): Locator {
  return page.getByRole("complementary").locator("[data-connection]");
}

/** The status that the run's page shows in its head. */
export function shownStatus(page: Page): Locator {
  return page.locator("article header [data-status]");
}

/** Steps of the run page's progress bar. */
export async function shownStep(page: Page): Promise<number> {
  return Number(await page.getByRole("progressbar", { name: "Progress" }).getAttribute("aria-valuenow"));
}

/** Steps in the data table below the charts, newest first; the table is opened when it is not. */
export async function tableSteps(page: Page): Promise<number[]> {
  const table = page.getByRole("region", { name: "Metric rows" });
  if (!(await table.isVisible())) await page.getByRole("button", { name: "Data table" }).click();
  const texts = await table.getByRole("rowheader").allTextContents();
  return texts.map((text) => Number(text.replaceAll(",", "")));
}

/** The number in a tile, e.g. that of "FVU" under "Final evaluation". */
export async function tileValue(page: Page, strip: string, name: string): Promise<number> {
  const tile = page
    .getByRole("region", { name: strip })
    .locator("div")
    .filter({ has: page.getByText(name, { exact: true }) })
    .last();
  const text = await tile.locator("xpath=..").locator("p").first().innerText();
  return Number.parseFloat(text.replaceAll(",", ""));
}
