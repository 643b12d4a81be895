import { expect, test } from "@playwright/test";
import { tinyLanguageModel, tinyModel } from "./language-model.ts";
import { endRuns, shownStatus, studioClient } from "./studio.ts";

const hook = "blocks.0.hook_resid_post";
let tokenization = "";

test.beforeAll(async () => {
  tokenization = (await tinyLanguageModel(studioClient())).tokenization_id;
});

test.afterEach(() => endRuns(studioClient()));

test("a run trains beside a language model, and its SAE is measured within it", async ({ page }) => {
  await page.goto(`/runs/new?tokenization=${tokenization}`);
  await expect(page.getByRole("combobox", { name: "Model" })).toContainText(tinyModel.model);
  await expect(page.getByRole("combobox", { name: "Tokenization" })).toContainText(tinyModel.tokenization);
  const point = page.getByRole("combobox", { name: "Hook point", exact: true });
  await expect(point).toHaveText("blocks.1.hook_resid_post");
  await point.click();
  await page.getByRole("combobox", { name: "Filter hook points" }).fill("0 resid_post");
  await page.getByRole("option", { name: hook }).click();
  await expect(page.getByLabel("Name", { exact: true })).toHaveValue(
    new RegExp(`^${tinyModel.model} ${hook} · TopK 128`),
  );
  const choice = page.getByRole("region", { name: "Live or from disk" });
  await expect(choice.getByRole("row", { name: /^From disk/ })).toContainText(/KiB/);
  await expect(choice).toContainText(/Train (live|from disk)/);
  await page.getByLabel("d_sae", { exact: true }).fill("32");
  await page.getByLabel("k", { exact: true }).fill("4");
  await page.getByLabel("Batch size", { exact: true }).fill("32");
  await page.getByLabel("Training tokens", { exact: true }).fill("1,920");
  await page
    .getByRole("group", { name: "Precision of the model’s weights" })
    .getByRole("button", { name: "F16" })
    .click();
  await page.getByLabel("Evaluate on", { exact: true }).fill("3");
  await page.getByLabel("Evaluate every", { exact: true }).fill("often");
  await expect(page.getByLabel("Evaluate every", { exact: true })).toHaveAttribute("aria-invalid", "true");
  await page.getByLabel("Evaluate every", { exact: true }).fill("20");
  const preview = page.getByRole("region", { name: "Before it starts" });
  await expect(preview).toContainText("Evaluation in the model");
  await expect(preview).toContainText("60");
  await page.getByRole("button", { name: "Start the run" }).click();

  await expect(shownStatus(page)).toHaveText("Completed", { timeout: 90_000 });
  const source = page.getByRole("region", { name: "Configuration" });
  await expect(source.getByText(hook)).toBeVisible();
  await expect(source.getByRole("link", { name: tinyModel.model })).toBeVisible();
  await expect(source.getByText("F16", { exact: true })).toBeVisible();
  const within = page.getByRole("region", { name: "Evaluations in the model" });
  await expect(within.getByRole("img", { name: /^Loss recovered at step 60: Loss recovered/ })).toBeVisible();
  await within.getByRole("button", { name: "Evaluations as a table" }).click();
  await expect(within.getByRole("rowheader")).toHaveText(["60", "40", "20"]);

  await page.getByRole("region", { name: "SAE", exact: true }).getByRole("link", { name: "Open" }).click();
  const evaluations = page.getByRole("region", { name: "Evaluations" });
  await expect(evaluations.getByRole("listitem")).toHaveCount(1);
  await expect(evaluations).toContainText(`In ${tinyModel.model}, on ${tinyModel.tokenization}`);
  await expect(evaluations.getByRole("img", { name: /^Losses in nats: clean \d/ })).toBeVisible();
  await evaluations.getByRole("button", { name: "About Loss recovered" }).click();
  await expect(page.getByRole("dialog", { name: "Loss recovered" })).toContainText("CE_zero");
  await page.keyboard.press("Escape");

  await page.getByRole("button", { name: "Evaluate" }).first().click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("button", { name: "In the language model" })).toHaveAttribute(
    "aria-pressed",
    "true",
  );
  await expect(dialog.getByRole("combobox", { name: "Hook point", exact: true })).toHaveText(hook);
  await dialog.getByLabel("Sequences", { exact: true }).fill("0");
  await expect(dialog.getByText("must be a whole number")).toBeVisible();
  await dialog.getByLabel("Sequences", { exact: true }).fill("3");
  await dialog.getByRole("button", { name: "Evaluate", exact: true }).click();
  await expect(
    evaluations.getByText(/3 held-out sequences, weights in f16, \d+ tokens/).first(),
  ).toBeVisible();
  await expect(evaluations.getByRole("listitem")).toHaveCount(2);
});

test("a transcoder reads what enters an MLP and writes what leaves it", async ({ page }) => {
  await page.goto(`/runs/new?tokenization=${tokenization}`);
  await page.getByText("Transcoder", { exact: true }).click();
  await expect(page.getByRole("combobox", { name: "Input", exact: true })).toHaveText(
    "blocks.1.ln2.hook_normalized",
  );
  await expect(page.getByRole("combobox", { name: "Target", exact: true })).toHaveText(
    "blocks.1.hook_mlp_out",
  );
  await expect(page.getByRole("button", { name: "Start the run" })).toBeEnabled();
  await page.getByText("Crosscoder", { exact: true }).click();
  await page.getByRole("button", { name: "Add a hook point" }).click();
  await expect(page.getByRole("combobox", { name: "Hook point 3" })).toHaveText(/hook_/);
  await expect(page.getByRole("button", { name: "Start the run" })).toBeEnabled();
});
