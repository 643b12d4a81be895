import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { completedRun, smallRun, studioClient } from "./studio.ts";

let runId = "";

test.beforeAll(async () => {
  runId = (await completedRun(studioClient(), smallRun("Looked at", { steps: 20, metrics_every_steps: 2 })))
    .id;
});

async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await new AxeBuilder({ page }).analyze();
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`);
}

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
    name: "playground",
    path: () => "/playground",
    ready: (page) => expect(page.getByRole("button", { name: "Train" })).toBeEnabled(),
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

for (const scheme of ["light", "dark"] as const) {
  test.describe(scheme, () => {
    test.use({ colorScheme: scheme });
    for (const { name, path, ready } of places) {
      test(`no accessibility violations: ${name}`, async ({ page }) => {
        await page.goto(path());
        await ready(page);
        // Colours are judged when nothing fades any more.
        await page.evaluate(() =>
          Promise.all(
            document
              .getAnimations()
              .map((one) =>
                one.effect?.getComputedTiming().iterations === Number.POSITIVE_INFINITY
                  ? undefined
                  : one.finished,
              ),
          ),
        );
        expect(await violations(page)).toEqual([]);
      });
    }
  });
}

test("narrow screens lose nothing to the side", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of ["/runs", "/runs/new", `/runs/${runId}`, "/activations", "/playground", "/system"]) {
    await page.goto(path);
    await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
    await expect(page.getByRole("navigation", { name: "Studio, narrow" })).toBeVisible();
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow, path).toBeLessThanOrEqual(0);
  }
});
