import { expect, test } from "@playwright/test";
import { shownStatus } from "./studio.ts";

const n_tokens = 2_048;
const d_in = 8;

/** A safetensors file with `activations` [n_tokens, d_in], F32: two directions that take turns. */
function activationsFile(): Buffer {
  const header = JSON.stringify({
    activations: { dtype: "F32", shape: [n_tokens, d_in], data_offsets: [0, 4 * n_tokens * d_in] },
  });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8, " ");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const values = Float32Array.from({ length: n_tokens * d_in }, (_, at) => {
    const token = Math.floor(at / d_in);
    return at % d_in === token % d_in ? 1 + (token % 7) / 7 : 0;
  });
  return Buffer.concat([length, Buffer.from(padded), Buffer.from(values.buffer)]);
}

test("a file is uploaded, trained on, and cannot be deleted while a run uses it", async ({ page }) => {
  await page.goto("/activations");
  await page.getByRole("button", { name: "Import activations" }).click();
  await page.getByLabel("Safetensors file").setInputFiles({
    name: "tiny.blocks.0.hook_resid_post.safetensors",
    mimeType: "application/octet-stream",
    buffer: activationsFile(),
  });
  await expect(page.getByLabel("Hook point")).toHaveValue("blocks.0.hook_resid_post");
  await page.getByLabel("Name", { exact: true }).fill("Tiny set");
  await page.getByRole("button", { name: "Import", exact: true }).click();

  const row = page.getByRole("listitem").filter({ hasText: "Tiny set" });
  await expect(row.getByText(`2,048 × ${d_in}`)).toBeVisible();
  await expect(row.getByText("F32")).toBeVisible();

  await row.getByRole("link", { name: "Train on this" }).click();
  await expect(page.getByRole("combobox", { name: "Activation set" })).toContainText("Tiny set");
  await expect(page.getByLabel("d_sae", { exact: true })).toHaveValue(String(8 * d_in));
  await expect(page.getByLabel("Training tokens", { exact: true })).toHaveValue("8192");
  await page.getByLabel("Batch size", { exact: true }).fill("256");
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(shownStatus(page)).toHaveText("Completed", { timeout: 90_000 });
  await expect(page.getByRole("region", { name: "Final evaluation" })).toBeVisible();

  await page.goto("/activations");
  await page.getByRole("button", { name: "Delete Tiny set" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(dialog.getByRole("alert")).toContainText("run");
  await dialog.getByRole("button", { name: "Keep it" }).click();
  await expect(row).toBeVisible();
});

test("a file that is no safetensors file is refused in words", async ({ page }) => {
  await page.goto("/activations");
  await page.getByRole("button", { name: "Import activations" }).click();
  await page.getByLabel("Safetensors file").setInputFiles({
    name: "broken.safetensors",
    mimeType: "application/octet-stream",
    buffer: Buffer.from("this is not a safetensors file, whatever its name says"),
  });
  await page.getByRole("button", { name: "Import", exact: true }).click();
  await expect(page.getByText(/header|safetensors file/i).last()).toBeVisible();
  await expect(
    page.getByText("import the file again").or(page.getByRole("dialog").getByRole("alert")),
  ).toBeVisible();
});
