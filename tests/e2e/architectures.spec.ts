import { expect, type Page, test } from "@playwright/test";
import { type Architecture, architectures, isBase } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import { storedSet } from "./stored-sets.ts";
import { endRuns, shownStatus, studioClient } from "./studio.ts";

const names = ["Layer 1 in", "Layer 1 out", "Layer 2 in"];
/** Unlike those of other tests' sets, so that no other set fits beside these. */
const n_tokens = 2_304;

test.beforeAll(async () => {
  const client = studioClient();
  await storedSet(client, { name: names[0]!, hook_name: "blocks.1.hook_mlp_in", n_tokens, d_in: 8 });
  await storedSet(client, { name: names[1]!, hook_name: "blocks.1.hook_mlp_out", n_tokens, d_in: 12 });
  await storedSet(client, { name: names[2]!, hook_name: "blocks.2.hook_mlp_in", n_tokens, d_in: 8 });
});

test.afterEach(() => endRuns(studioClient()));

function label(architecture: Architecture): string {
  return architectureDescriptions[architecture].label;
}

async function choose(page: Page, architecture: Architecture): Promise<void> {
  await page.getByText(label(architecture), { exact: true }).click();
  await expect(page.getByRole("radio", { name: label(architecture), exact: true })).toBeChecked();
}

const option = (page: Page, name: string) => page.getByLabel(name, { exact: true });

/** The options that are in sight, and one of another architecture that must not be there. */
const shown: Record<Architecture, { there: string[]; absent: string }> = {
  standard: { there: ["Target L0", "L1 coefficient"], absent: "k" },
  gated: { there: ["Target L0", "L1 coefficient"], absent: "k" },
  jumprelu: { there: ["Target L0", "L0 coefficient"], absent: "L1 coefficient" },
  topk: { there: ["k", "Seed"], absent: "Target L0" },
  batchtopk: { there: ["k", "Seed"], absent: "Target L0" },
  matryoshka_batchtopk: { there: ["k", "Matryoshka widths"], absent: "L0 coefficient" },
  transcoder: { there: ["k"], absent: "Matryoshka widths" },
  skip_transcoder: { there: ["k"], absent: "L1 coefficient" },
  crosscoder: { there: ["Target L0", "L1 coefficient"], absent: "k" },
};

test("the form shows of every architecture the options it has, with defaults that are right", async ({
  page,
}) => {
  await page.goto("/runs/new");
  const preview = page.getByRole("region", { name: "Before it starts" });
  for (const architecture of architectures) {
    await test.step(architecture, async () => {
      await choose(page, architecture);
      for (const name of shown[architecture].there) await expect(option(page, name)).toBeVisible();
      await expect(option(page, shown[architecture].absent)).toHaveCount(0);
      await expect(option(page, "d_sae")).not.toHaveValue("");
      // A plan of the memory comes only when nothing is to be corrected.
      await expect(preview.getByText(/KiB|MiB/).first()).toBeVisible();
      await expect(preview.getByText("to correct")).toHaveCount(0);
      await expect(page.getByRole("button", { name: "Start the run" })).toBeEnabled();
      await expect(page.getByRole("button", { name: "Synthetic", exact: true })).toBeEnabled({
        enabled: isBase(architecture),
      });
      await expect(option(page, "Name")).toHaveValue(new RegExp(label(architecture)));
    });
  }
});

test("another architecture keeps what still applies and drops the rest", async ({ page }) => {
  await page.goto("/runs/new");
  await option(page, "Learning rate").fill("0.005");
  await option(page, "k").fill("5");
  await choose(page, "gated");
  await expect(option(page, "Learning rate")).toHaveValue("0.005");
  await option(page, "Target L0").fill("7");
  await choose(page, "jumprelu");
  await expect(option(page, "Target L0")).toHaveValue("7");
  await choose(page, "batchtopk");
  await expect(option(page, "Learning rate")).toHaveValue("0.005");
  await expect(option(page, "k")).not.toHaveValue("5");
  await page.getByRole("button", { name: "Reset to defaults" }).click();
  await expect(page.getByRole("radio", { name: label("batchtopk"), exact: true })).toBeChecked();
  await expect(option(page, "Learning rate")).not.toHaveValue("0.005");
});

test("contradictions are said at their option", async ({ page }) => {
  await page.goto("/runs/new");
  await choose(page, "matryoshka_batchtopk");
  const widths = option(page, "Matryoshka widths");
  await widths.fill("8, 4");
  await expect(widths).toHaveAttribute("aria-invalid", "true");
  await expect(page.getByText(/The widths 8, 4 must rise and end with d_sae/).first()).toBeVisible();
  await widths.fill("8, many");
  await expect(page.getByText("Matryoshka widths must be a list").first()).toBeVisible();
  await widths.fill("");
  await expect(widths).not.toHaveAttribute("aria-invalid", "true");
  await choose(page, "jumprelu");
  await page.getByRole("button", { name: /^Sparsity/ }).click();
  await page.getByRole("combobox", { name: "JumpReLU penalty" }).click();
  await page.getByRole("option", { name: "quadratic" }).click();
  await option(page, "Target L0").fill("");
  await expect(option(page, "Target L0")).toHaveAttribute("aria-invalid", "true");
});

test("a transcoder is trained from one set to another, and its run says so", async ({ page }) => {
  await page.goto("/runs/new");
  await choose(page, "skip_transcoder");
  const input = page.getByRole("combobox", { name: "Input" });
  const target = page.getByRole("combobox", { name: "Target" });
  await expect(input).toContainText(/Layer \d in/);
  await expect(target).toContainText("Layer 1 out");
  await input.click();
  await page.getByRole("option", { name: /Layer 1 in/ }).click();
  await option(page, "Training tokens").fill("4096");
  await option(page, "Batch size").fill("256");
  await option(page, "Name").fill("From in to out");
  await page.getByRole("button", { name: "Start the run" }).click();
  await expect(page.getByRole("heading", { name: "From in to out", level: 1 })).toBeVisible();
  await expect(shownStatus(page)).toHaveText("Completed", { timeout: 90_000 });
  const configuration = page.getByRole("region", { name: "Configuration" });
  await expect(configuration.getByText("Skip transcoder")).toBeVisible();
  await expect(configuration.getByText("blocks.1.hook_mlp_out, 12")).toBeVisible();
  await expect(configuration.getByText("L1 coefficient")).toHaveCount(0);

  await page.getByRole("link", { name: "New like this" }).click();
  await expect(page.getByRole("radio", { name: label("skip_transcoder"), exact: true })).toBeChecked();
  await expect(page.getByRole("combobox", { name: "Target" })).toContainText("Layer 1 out");
  await expect(option(page, "Batch size")).toHaveValue("256");

  await page.goto("/runs?architecture=skip_transcoder");
  await expect(page.getByRole("link", { name: "From in to out" })).toBeVisible();
  await expect(page.getByText("8 → 64 → 12")).toBeVisible();
  await page.goto("/runs?architecture=gated");
  await expect(page.getByRole("combobox", { name: "Architecture" })).toContainText("Gated");
  await expect(page.getByRole("link", { name: "From in to out" })).toHaveCount(0);
});

test("a crosscoder takes as many hook points as one gives it", async ({ page }) => {
  await page.goto("/runs/new");
  await choose(page, "crosscoder");
  await page.getByRole("combobox", { name: "Hook point 1" }).click();
  await page.getByRole("option", { name: /Layer 1 in/ }).click();
  await page.getByRole("combobox", { name: "Hook point 2" }).click();
  await page.getByRole("option", { name: /Layer 2 in/ }).click();
  await expect(page.getByRole("combobox", { name: "Hook point 2" })).toContainText("Layer 2 in");
  await page.getByRole("button", { name: "Add a hook point" }).click();
  await expect(page.getByText("No other set has the 2,304 rows of width 8")).toBeVisible();
  await expect(page.getByRole("button", { name: "Start the run" })).toBeDisabled();
  await page.getByRole("button", { name: "Remove Hook point 3" }).click();
  await expect(page.getByRole("button", { name: "Start the run" })).toBeEnabled();
});

test("a penalised run shows its sparsity loss and coefficient", async ({ page }) => {
  const { id } = await studioClient().api.runs.create.mutate({
    name: "Penalised",
    source: { kind: "synthetic", synthetic: { d_in: 16, n_features: 32, orthogonalize_steps: 50 } },
    config: {
      architecture: "standard",
      target_l0: 3,
      d_in: 16,
      d_sae: 32,
      training_tokens: 40 * 256,
      train_batch_size_tokens: 256,
      n_batches_for_norm_estimate: 2,
      metrics_every_steps: 4,
    },
  });
  await page.goto(`/runs/${id}`);
  await expect(shownStatus(page)).toHaveText("Completed", { timeout: 90_000 });
  await expect(page.getByRole("img", { name: /^Sparsity loss at step 40/ })).toBeVisible();
  await expect(page.getByRole("img", { name: /^Sparsity coefficient at step 40/ })).toBeVisible();
  await expect(page.getByRole("img", { name: /^L0 at step 40: L0 .+, target 3\.00/ })).toBeVisible();
  await page.getByRole("button", { name: "About Sparsity loss" }).click();
  await expect(page.getByText("sparsity_loss = λ · mean_b Σ_i f_i ‖W_dec,i‖")).toBeVisible();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Data table" }).click();
  const table = page.getByRole("region", { name: "Metric rows" });
  await expect(table.getByRole("columnheader", { name: "Sparsity coefficient" })).toBeVisible();
  await expect(table.getByRole("columnheader", { name: "AuxK" })).toHaveCount(0);
});
