import { expect, type Page, test } from "@playwright/test";
import { tinyTexts } from "../integration/tiny-model.ts";
import { tinyLanguageModel, tinyModel } from "./language-model.ts";
import { studioClient } from "./studio.ts";

/** Uploads a file through the dialog, up to the page that follows its import. */
async function upload(page: Page, name: string, text: string): Promise<void> {
  await page.goto("/datasets");
  await page.getByRole("button", { name: "Import a dataset" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "On this computer" }).click();
  await dialog
    .getByLabel("File of texts")
    .setInputFiles({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
  await dialog.getByRole("button", { name: "Import", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
}

test("texts are uploaded, browsed, searched, tokenized, and lead on to a run", async ({ page }) => {
  await tinyLanguageModel(studioClient());
  const texts = tinyTexts(24);
  texts[17] = "Where the lighthouse stood, nobody had ever seen a mat.";
  await upload(page, "notes.jsonl", texts.map((text, number) => JSON.stringify({ text, number })).join("\n"));
  const documents = page.getByRole("region", { name: "Documents", exact: true });
  await expect(page.getByRole("region", { name: "Sizes" })).toContainText("24");
  await expect(documents).toContainText(texts[0]!);
  await documents.getByRole("button", { name: "Next documents" }).click();
  await expect(documents).toContainText(texts[12]!);
  await documents.getByRole("searchbox").fill("LIGHTHOUSE");
  await expect(documents.getByRole("status")).toHaveText("1 found in 24 of 24 documents");
  await expect(documents.locator("mark")).toHaveText("lighthouse");
  await documents.getByRole("button", { name: "Show document 17" }).click();
  await expect(documents.getByRole("heading", { name: "#17" })).toBeVisible();

  await page.getByRole("button", { name: "Tokenize" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("combobox", { name: "Model" })).toContainText(tinyModel.model);
  const first = dialog.getByRole("list", { name: "Sequence 1" });
  await expect(first).toContainText("<|endoftext|>");
  await dialog.getByRole("textbox", { name: "Context size" }).fill("99");
  await expect(dialog.getByText("99 tokens are more than the model takes: 32")).toBeVisible();
  await expect(dialog.getByRole("button", { name: "Tokenize" })).toBeDisabled();
  await dialog.getByRole("textbox", { name: "Context size" }).fill("20");
  await expect(first.getByRole("listitem")).toHaveCount(20);
  await dialog.getByRole("button", { name: "Tokenize" }).click();

  await expect(page.getByRole("heading", { level: 1, name: "notes.jsonl, 20 tokens" })).toBeVisible();
  await expect(page.getByRole("region", { name: "Tokens", exact: true })).toContainText("20 tokens each");
  const tokens = page.getByRole("list", { name: "Sequence 0" }).getByRole("listitem");
  await expect(tokens).toHaveCount(20);
  await expect(tokens.nth(1)).toContainText(texts[0]!.charAt(0));
  await page.getByRole("link", { name: "Train live" }).click();
  await expect(page.getByRole("combobox", { name: "Tokenization" })).toContainText("notes.jsonl, 20 tokens");
  await expect(page.getByRole("button", { name: "Start the run" })).toBeEnabled();

  await test.step("the dataset stays while its tokens are there, and no longer", async () => {
    const remove = async () => {
      await page.getByRole("button", { name: "Delete" }).click();
      await dialog.getByRole("button", { name: "Delete" }).click();
    };
    await page.goBack();
    await page.getByRole("navigation", { name: "Breadcrumb" }).getByText("notes.jsonl").click();
    await expect(documents).toBeVisible();
    await remove();
    await expect(dialog.getByRole("alert")).toContainText("the tokenization “notes.jsonl, 20 tokens”");
    await dialog.getByRole("button", { name: "Keep it" }).click();
    await page.getByRole("link", { name: "notes.jsonl, 20 tokens" }).click();
    await expect(page.getByRole("region", { name: "Sequences" })).toBeVisible();
    await remove();
    await expect(page.getByText("Not tokenized yet")).toBeVisible();
    await remove();
    await expect(page).toHaveURL(/\/datasets$/);
  });
});

test("a table whose text column is not clear is read again by the one that is named", async ({ page }) => {
  await upload(page, "letters.csv", "title,body\nOne,First letter.\nTwo,Second letter.\n");
  const failed = page.getByRole("region", { name: "The import failed" });
  await expect(failed.getByRole("status")).toHaveText(/^letters\.csv has several columns.*"title".*"body"/);
  await failed.getByRole("textbox", { name: "Text column" }).fill("body");
  await failed.getByRole("button", { name: "Try again" }).click();
  const documents = page.getByRole("region", { name: "Documents", exact: true });
  await expect(documents).toContainText("Second letter.");
  await expect(documents).toContainText("title");
});
