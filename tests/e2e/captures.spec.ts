import fs from "node:fs";
import path from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { tinyLanguageModel, tinyModel } from "./language-model.ts";
import { endRuns, smallRun, studioClient } from "./studio.ts";

const home = process.env.FACET_E2E_HOME ?? "";
let tokenization = "";
let model = "";

test.beforeAll(async () => {
  const made = await tinyLanguageModel(studioClient());
  tokenization = made.tokenization_id;
  model = made.model_id;
});

test.afterEach(() => endRuns(studioClient()));

/** Fills in the dialog for the tiny model and a search that finds the wanted hook points. */
async function capture(page: Page, { name, search }: { name: string; search: string }): Promise<void> {
  await page.goto(`/activations?capture=1&tokenization=${tokenization}`);
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("combobox", { name: "Model" })).toContainText(tinyModel.model);
  await dialog.getByRole("button", { name: "Clear" }).click();
  await expect(dialog.getByText("Choose at least one hook point.")).toBeVisible();
  await dialog.getByRole("combobox", { name: "Hook points" }).fill(search);
  await dialog.getByRole("button", { name: /^Choose these/ }).click();
  await dialog.getByLabel("Name", { exact: true }).fill(name);
}

test("activations are captured at two hook points in one pass, and lead to a run", async ({ page }) => {
  await capture(page, { name: "Two at once", search: "resid_post" });
  const dialog = page.getByRole("dialog");
  const { api } = studioClient();
  const hooks = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"];
  const subject = { model_id: model, tokenization_id: tokenization, hooks };
  const { bytes } = await api.captures.estimate.query(subject);
  await expect(dialog.getByRole("region", { name: "Estimate" })).toContainText(
    `${(bytes / 1024).toPrecision(3)} KiB`,
  );
  await dialog.getByRole("button", { name: "Capture 2 hook points" }).click();

  const sets = page.getByRole("listitem").filter({ has: page.getByRole("link", { name: "Train on this" }) });
  const last = sets.filter({ hasText: "blocks.1.hook_resid_post" });
  await expect(last).toContainText(`${tinyModel.model} · ${tinyModel.dataset}`);
  await expect(last).toContainText(" × 16");
  await page.getByRole("button", { name: /^Ended/ }).click();
  await expect(page.getByText(/^2 sets, in .* tokens\/s/)).toBeVisible();

  await test.step("what was measured is what the next one is estimated by", async () => {
    await page.getByRole("button", { name: "Capture activations" }).click();
    const estimate = dialog.getByRole("region", { name: "Estimate" });
    await expect(estimate.getByText("Rows of text")).toBeVisible();
    await expect(estimate.getByText("not measured yet")).toHaveCount(0);
    await page.keyboard.press("Escape");
  });

  await last.getByRole("link", { name: "Train on this" }).click();
  await expect(page.getByRole("combobox", { name: "Activation set" })).toContainText(
    "blocks.1.hook_resid_post",
  );
  await expect(page.getByLabel("d_sae", { exact: true })).toHaveValue("128");

  await page.goto("/activations");
  await page.getByRole("button", { name: /^Delete Two at once.*blocks\.1/ }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(last).toHaveCount(0);
});

test("a capture that waits is cancelled", async ({ page }) => {
  // The one worker is busy, so that the capture waits.
  await studioClient().api.runs.create.mutate(smallRun("Keeps the worker busy", { steps: 100_000 }));
  await capture(page, { name: "Never begun", search: "hook_embed" });
  await page.getByRole("dialog").getByRole("button", { name: "Capture", exact: true }).click();
  const row = page.getByRole("listitem").filter({ hasText: "Never begun" });
  await expect(row.getByText("Waiting for a worker")).toBeVisible();
  await row.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel the capture" }).click();
  await expect(row).toHaveCount(0);
  await page.getByRole("button", { name: /^Ended/ }).click();
  await expect(row.getByText(/^Canceled/)).toBeVisible();
});

test("a capture that failed says why, and goes on when that is mended", async ({ page }) => {
  const folder = path.join(home, "models", model);
  fs.renameSync(folder, `${folder}-elsewhere`);
  try {
    await capture(page, { name: "Without model", search: "0.hook_mlp_out" });
    await page.getByRole("dialog").getByRole("button", { name: "Capture", exact: true }).click();
    const row = page.getByRole("listitem").filter({ hasText: "Without model" });
    await expect(row.getByRole("status")).not.toBeEmpty();
    fs.renameSync(`${folder}-elsewhere`, folder);
    await row.getByRole("button", { name: "Try again" }).click();
    await expect(row.getByRole("link", { name: "Train on this" })).toBeVisible();
  } finally {
    if (!fs.existsSync(folder)) fs.renameSync(`${folder}-elsewhere`, folder);
  }
});
