import fs from "node:fs";
import path from "node:path";
import { expect, test } from "@playwright/test";
import { tinySaeFolder } from "../integration/tiny-saes.ts";
import { storedSet } from "./stored-sets.ts";
import { completedRun, smallRun, studioClient } from "./studio.ts";

const home = process.env.FACET_E2E_HOME ?? "";

test("an SAE is looked at, imported, evaluated, exported and deleted", async ({ page }) => {
  const folder = path.join(home, "theirs", "a-peers-sae");
  await tinySaeFolder(folder, { d_in: 16, d_out: 16, d_sae: 48 });
  await storedSet(studioClient(), { name: "Sixteen wide", hook_name: "blocks.0.hook_resid_post", d_in: 16 });

  await page.goto("/saes");
  await page.getByRole("button", { name: "Import an SAE" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Path").fill(path.join(home, "nowhere"));
  await dialog.getByRole("button", { name: "Look inside" }).click();
  await expect(dialog.getByRole("alert")).toContainText("There is no file");
  await dialog.getByLabel("Path").fill(folder);
  await dialog.getByRole("button", { name: "Look inside" }).click();
  const found = dialog.getByRole("region", { name: "What is there" });
  await expect(found.getByText("SAELens")).toBeVisible();
  await expect(found.getByText("16 → 48")).toBeVisible();
  await dialog.getByRole("button", { name: "Import", exact: true }).click();

  await expect(page.getByRole("heading", { name: "a-peers-sae", level: 1 })).toBeVisible();
  await expect(page.getByRole("img", { name: /^Firing frequency of 46 features/ })).toBeVisible();
  await expect(page.getByRole("img", { name: /^Decoder norm of 48 features/ })).toBeVisible();
  await expect(page.getByText("2 features never fired")).toBeVisible();

  await test.step("evaluated by the worker", async () => {
    await page.getByRole("button", { name: "Evaluate" }).first().click();
    await expect(dialog.getByRole("combobox", { name: "Activation set" })).toContainText("Sixteen wide");
    await dialog.getByRole("textbox", { name: "Tokens" }).fill("1,000");
    await dialog.getByRole("button", { name: "Evaluate" }).click();
    const evaluations = page.getByRole("region", { name: "Evaluations" });
    await evaluations.getByRole("button", { name: "All figures" }).click();
    await expect(evaluations.getByText("Explained variance, per token")).toBeVisible();
    await expect(evaluations.getByText("1,000 tokens")).toBeVisible();
  });

  await test.step("exported", async () => {
    await page.getByRole("button", { name: "Export" }).click();
    await expect(dialog.getByRole("radio", { name: /^sparsify/ })).toBeDisabled();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      dialog.getByRole("link", { name: "Download" }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^a-peers-sae-[0-9a-f]{8}-saelens\.zip$/);
    expect(
      fs
        .readFileSync(await download.path())
        .subarray(0, 2)
        .toString(),
    ).toBe("PK");
    await dialog.getByRole("radio", { name: /^Facet/ }).check();
    await dialog.getByRole("button", { name: "Write on the server" }).click();
    await expect(dialog.getByText("Written on the server")).toBeVisible();
    await expect(dialog.getByText(/exports\/a-peers-sae-[0-9a-f]{8}-facet$/)).toBeVisible();
    await page.keyboard.press("Escape");
  });

  await page.goto("/saes?kind=imported");
  const row = page.getByRole("row").filter({ hasText: "a-peers-sae" });
  await expect(row.getByText("SAELens")).toBeVisible();
  await expect(row.getByText("16 → 48").locator("visible=true")).toBeVisible();
  await row.getByRole("link", { name: "a-peers-sae" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/saes$/);
  await expect(page.getByRole("link", { name: "a-peers-sae" })).toHaveCount(0);
});

test("what a run left is listed, and leads to its run and back", async ({ page }) => {
  const run = await completedRun(studioClient(), smallRun("Leaves an SAE", { steps: 20 }));
  await page.goto(`/runs/${run.id}`);
  await page.getByRole("region", { name: "SAE", exact: true }).getByRole("link", { name: "Open" }).click();
  await expect(page.getByRole("heading", { name: "Leaves an SAE", level: 1 })).toBeVisible();
  await expect(page.getByRole("region", { name: "Recovery of the true features" }).first()).toBeVisible();
  await expect(page.getByRole("button", { name: "Delete", exact: true })).toHaveCount(0);
  await page.getByRole("link", { name: "Open the run" }).click();
  await expect(page).toHaveURL(new RegExp(run.id));

  await page.goto("/saes");
  await page.getByRole("searchbox").fill("leaves an");
  await expect(page).toHaveURL(/q=leaves/);
  await expect(page.getByRole("link", { name: "Leaves an SAE" })).toBeVisible();
  await page.getByRole("button", { name: "Imported" }).click();
  await expect(page.getByText("No SAE matches")).toBeVisible();
  await page.getByRole("button", { name: "Clear search and filter" }).click();
  await page.getByRole("button", { name: /^FVU/ }).click();
  await expect(page).toHaveURL(/sort=fvu\.asc/);
  await expect(page.getByRole("link", { name: "Leaves an SAE" })).toBeVisible();
});

test("a file that is no SAE is refused in words", async ({ page }) => {
  const file = path.join(home, "no-sae.pt");
  fs.writeFileSync(file, "this is not an SAE, whatever its name says");
  await page.goto("/saes");
  await page.getByRole("button", { name: "Import an SAE" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Path").fill(file);
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await expect(dialog.getByRole("alert")).toContainText("no-sae.pt");
  await page.goto("/saes/00000000-0000-7000-8000-000000000000");
  await expect(page.getByText("There is no such SAE")).toBeVisible();
});
