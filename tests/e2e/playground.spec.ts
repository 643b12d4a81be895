import { expect, test } from "@playwright/test";
import { sampleOptions, tabConfig } from "../../app/_playground/tab-config.ts";
import { sampleSynthetic } from "../../gpu/data/sample-run.ts";
import { baseArchitectures } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import { completedRun, studioClient, tileValue } from "./studio.ts";
import { violations } from "./violations.ts";

const options = { ...sampleOptions, steps: 40 };

/** Both within 1 % of each other. */
function expectAgreement(name: string, one: number, other: number): void {
  expect(Math.abs(one - other), `${name}: ${one} in the tab, ${other} in the worker`).toBeLessThanOrEqual(
    0.01 * Math.max(Math.abs(one), Math.abs(other)),
  );
}

test("the tab trains the sample, and ends where the server's worker ends", async ({ page }) => {
  await page.goto("/playground");
  await page.getByLabel("Steps", { exact: true }).fill(String(options.steps));
  await page.getByRole("button", { name: "Train" }).click();
  const phase = page.locator("[data-phase]");
  await expect(phase).toHaveText("Training");
  await expect(page.getByRole("img", { name: /^FVU at step/ })).toBeVisible();
  await expect(phase).toHaveText("Completed", { timeout: 90_000 });

  const run = await completedRun(studioClient(), {
    name: "The Playground's twin",
    source: { kind: "synthetic", synthetic: sampleSynthetic },
    config: tabConfig(options),
  });
  const { evaluation, recovery } = run.sae!;
  expectAgreement("FVU", await tileValue(page, "Final evaluation", "FVU"), evaluation.fvu);
  expectAgreement("MSE", await tileValue(page, "Final evaluation", "MSE"), evaluation.mse);
  expectAgreement("L0", await tileValue(page, "Final evaluation", "L0"), evaluation.l0);
  expectAgreement("MCC", await tileValue(page, "Recovery of the true features", "MCC"), recovery!.mcc);
  expectAgreement("F1", await tileValue(page, "Recovery of the true features", "F1"), recovery!.f1);
  expect(await violations(page)).toEqual([]);
});

test("every other architecture trains in the tab too", async ({ page }) => {
  await page.goto("/playground");
  const phase = page.locator("[data-phase]");
  for (const architecture of baseArchitectures.filter((one) => one !== options.architecture)) {
    await test.step(architecture, async () => {
      await page.getByText(architectureDescriptions[architecture].label, { exact: true }).click();
      await page.getByLabel("Steps", { exact: true }).fill("6");
      await page.getByRole("button", { name: /^Train/ }).click();
      await expect(phase).not.toHaveText("Completed");
      await expect(phase).toHaveText("Completed", { timeout: 90_000 });
      await expect(page.getByRole("region", { name: "Final evaluation" })).toBeVisible();
    });
  }
});

test("a training is stopped, and what was learnt is measured", async ({ page }) => {
  await page.goto("/playground");
  await page.getByLabel("Steps", { exact: true }).fill("2000");
  await page.getByRole("button", { name: "Train" }).click();
  await expect(page.getByRole("img", { name: /^FVU at step/ })).toBeVisible();
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(page.locator("[data-phase]")).toHaveText("Stopped", { timeout: 60_000 });
  await expect(page.getByRole("region", { name: "Recovery of the true features" })).toBeVisible();
});

test("without WebGPU the page says so, and how to get it", async ({ page }) => {
  await page.addInitScript(() => {
    Reflect.deleteProperty(Navigator.prototype, "gpu");
  });
  await page.goto("/playground");
  await expect(page.getByText("This browser has no WebGPU, so it cannot train.")).toBeVisible();
  await expect(page.getByText("Firefox", { exact: true })).toBeVisible();
  await expect(page.getByRole("button", { name: "Train" })).toBeDisabled();
});
