import fs from "node:fs";
import path from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { tiny, writeTinyModel } from "../integration/tiny-model.ts";
import { tinyLanguageModel, tinyModel } from "./language-model.ts";
import { studioClient } from "./studio.ts";

const given = path.join(process.env.FACET_E2E_HOME ?? "", "given");

/** Opens the dialog and has it look at a folder. */
async function preview(page: Page, folder: string) {
  const dialog = page.getByRole("dialog");
  if (!(await dialog.isVisible())) {
    await page.getByRole("button", { name: "Import a model" }).click();
    await dialog.getByRole("button", { name: "On the server" }).click();
  }
  await dialog.getByRole("textbox", { name: "Path" }).fill(folder);
  await dialog.getByRole("button", { name: "Preview" }).click();
  return dialog;
}

test("a model is refused in words, or previewed and imported, and leads on from its hook points", async ({
  page,
}) => {
  await tinyLanguageModel(studioClient());
  const folder = await writeTinyModel(path.join(given, "another-gpt2"), 2);
  const foreign = path.join(given, "bert");
  fs.mkdirSync(foreign, { recursive: true });
  fs.writeFileSync(path.join(foreign, "config.json"), JSON.stringify({ model_type: "bert" }));

  await page.goto("/models");
  const dialog = await preview(page, "/nowhere/at/all");
  await expect(dialog.getByRole("alert")).toHaveText(/no file or folder \/nowhere\/at\/all on the server/);
  await preview(page, foreign);
  const shown = dialog.getByRole("region", { name: "Preview" });
  await expect(shown).toContainText("It cannot be imported");
  await expect(shown).toContainText(/"bert".*Facet runs gpt2, gpt_neox/);
  await expect(dialog.getByRole("button", { name: "Look again" })).toBeEnabled();
  await expect(dialog.getByRole("button", { name: /^Import/ })).toHaveCount(0);

  await preview(page, folder);
  await expect(shown).toContainText("11.2K");
  await expect(shown.getByText("Context", { exact: true }).locator("xpath=../..")).toContainText(
    `${tiny.n_ctx} tokens`,
  );
  await dialog.getByRole("button", { name: /^Import \d/ }).click();

  await expect(page.getByRole("heading", { level: 1, name: "another-gpt2" })).toBeVisible();
  await expect(page.getByRole("region", { name: "Sizes" })).toContainText(String(tiny.vocabulary));
  const tokens = page.getByRole("region", { name: "Tokenizations" });
  await expect(tokens).toContainText(`by the same tokenizer in ${tinyModel.model}`);
  await expect(page.getByRole("link", { name: "Capture activations" })).toBeVisible();
  await page.getByRole("searchbox", { name: "Filter hook points" }).fill("1 mlp.hook_post");
  const point = page.getByRole("row", { name: /blocks\.1\.mlp\.hook_post/ });
  await expect(point).toContainText(`[pos, ${tiny.d_mlp}]`);
  await expect(page.getByRole("row", { name: /blocks\.0/ })).toHaveCount(0);

  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/models$/);
  await expect(page.getByRole("link", { name: "another-gpt2" })).toHaveCount(0);
});

test("a hook point of a model leads to a capture and to a run, and what is used stays", async ({ page }) => {
  const { model_id } = await tinyLanguageModel(studioClient());
  const hook = "blocks.0.hook_attn_out";
  await page.goto(`/models/${model_id}`);
  await page.getByRole("link", { name: `Capture ${hook}` }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("combobox", { name: "Model" })).toContainText(tinyModel.model);
  await expect(dialog.getByRole("region", { name: "Estimate" })).toContainText("KiB");
  await expect(dialog.getByRole("option", { selected: true })).toHaveText(new RegExp(hook));

  await page.goto(`/models/${model_id}`);
  await page.getByRole("link", { name: `Train on ${hook}` }).click();
  await expect(page.getByRole("combobox", { name: "Hook point", exact: true })).toHaveText(hook);
  await expect(page.getByRole("combobox", { name: "Tokenization" })).toContainText(/tokens$/);
  await expect(page.getByRole("button", { name: "Start the run" })).toBeEnabled();

  await page.goto(`/models/${model_id}`);
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(dialog.getByRole("alert")).toContainText(`the tokenization “${tinyModel.tokenization}”`);
  await dialog.getByRole("button", { name: "Keep it" }).click();
  await expect(page.getByRole("heading", { level: 1, name: tinyModel.model })).toBeVisible();
});
