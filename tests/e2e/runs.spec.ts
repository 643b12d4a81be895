import { expect, test } from "@playwright/test";
import { cuttableProxy } from "./cuttable-proxy.ts";
import {
  endRuns,
  shownConnection,
  shownStatus,
  shownStep,
  smallRun,
  studioClient,
  tableSteps,
} from "./studio.ts";

const steps = 400;
const every = 10;
const allSteps = Array.from({ length: steps / every }, (_, row) => steps - row * every);

test.afterEach(() => endRuns(studioClient()));

test("a run made through the form is watched to its end, through a reload and a cut of the connection", async ({
  page,
}) => {
  const proxy = await cuttableProxy(Number(process.env.FACET_E2E_PORT));
  await page.goto(`${proxy.url}/runs`);
  await page.getByRole("link", { name: "New run" }).first().click();
  await expect(page.getByRole("heading", { name: "New run" })).toBeVisible();
  await page.getByLabel("Name", { exact: true }).fill("Made by hand");
  await page.getByLabel("d_in", { exact: true }).fill("16");
  await page.getByLabel("True features", { exact: true }).fill("32");
  await expect(page.getByLabel("d_sae", { exact: true })).toHaveValue("32");

  await test.step("faults are said at their fields", async () => {
    await page.getByLabel("k", { exact: true }).fill("64");
    await expect(page.getByLabel("k", { exact: true })).toHaveAttribute("aria-invalid", "true");
    await expect(page.getByRole("button", { name: "Start the run" })).toBeDisabled();
    await page.getByLabel("k", { exact: true }).fill("2");
  });

  await page.getByLabel("Batch size", { exact: true }).fill("1024");
  await page.getByLabel("Training tokens", { exact: true }).fill(String(steps * 1_024));
  await page.getByRole("button", { name: /^Logging/ }).click();
  await page.getByLabel("Metrics every", { exact: true }).fill(String(every));
  await page.getByLabel("Checkpoint every", { exact: true }).fill("150");
  const preview = page.getByRole("region", { name: "Before it starts" });
  await expect(preview.getByText(String(steps), { exact: true })).toBeVisible();
  await expect(preview.getByText(/KiB|MiB/).first()).toBeVisible();
  await page.getByRole("button", { name: "Start the run" }).click();

  await expect(page.getByRole("heading", { name: "Made by hand", level: 1 })).toBeVisible();
  await expect(shownStatus(page)).toHaveText("Running");
  await expect(shownConnection(page)).toHaveText("Live");
  await expect.poll(() => shownStep(page)).toBeGreaterThan(30);

  await page.reload();
  await expect(page.getByRole("heading", { name: "Made by hand", level: 1 })).toBeVisible();
  const afterReload = await shownStep(page);
  expect(afterReload).toBeGreaterThan(30);
  expect(afterReload).toBeLessThan(steps);

  proxy.cut();
  await expect(shownConnection(page)).toHaveText("Reconnecting");
  const atCut = await shownStep(page);
  proxy.mend();
  await expect(shownConnection(page)).toHaveText("Live");
  await expect.poll(() => shownStep(page)).toBeGreaterThan(atCut);

  await expect(shownStatus(page)).toHaveText("Completed", { timeout: 90_000 });
  expect(await shownStep(page)).toBe(steps);
  await expect(
    page.getByRole("region", { name: "Recovery of the true features" }).getByText("MCC", { exact: true }),
  ).toBeVisible();
  expect(await tableSteps(page)).toEqual(allSteps);
  const log = page.getByRole("region", { name: "Log of events" });
  for (const entry of ["Queued", "Running", "Checkpoint at step 150", "SAE written", "Completed"]) {
    await expect(log.getByRole("listitem").filter({ hasText: entry })).toHaveCount(1);
  }
  await expect(
    page.getByRole("region", { name: "SAE", exact: true }).getByText(/runs\/.+\/sae\/synthetic/),
  ).toBeVisible();
  await page.close();
  await proxy.close();
});

test("where streams are cut off the page polls, and loses nothing", async ({ page }) => {
  await page.route("**/api/trpc/runs.live**", (route) => route.abort());
  const { id } = await studioClient().api.runs.create.mutate(
    smallRun("Polled", { steps, batch: 512, metrics_every_steps: every }),
  );
  await page.goto(`/runs/${id}`);
  await expect(shownConnection(page)).toHaveText("Polling");
  await expect(shownStatus(page)).toHaveText("Completed", { timeout: 90_000 });
  await expect.poll(() => tableSteps(page)).toEqual(allSteps);
});

test("a run is paused, resumed, stopped and deleted from its page", async ({ page }) => {
  const { id } = await studioClient().api.runs.create.mutate(
    smallRun("Handled", { steps: 100_000, batch: 256, metrics_every_steps: 20 }),
  );
  await page.goto(`/runs/${id}`);
  await expect(shownStatus(page)).toHaveText("Running");
  await page.getByRole("button", { name: "Pause" }).click();
  await expect(shownStatus(page)).toHaveText("Paused");
  const paused = await shownStep(page);
  await page.getByRole("button", { name: "Resume" }).click();
  await expect(shownStatus(page)).toHaveText("Running");
  await expect.poll(() => shownStep(page)).toBeGreaterThan(paused);

  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
  await expect(shownStatus(page)).toHaveText("Stopped");
  await expect(page.getByRole("region", { name: "Final evaluation" })).toBeVisible();

  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/runs$/);
  await expect(page.getByRole("link", { name: "Handled" })).toHaveCount(0);
  await page.goto(`/runs/${id}`);
  await expect(page.getByText("There is no such run")).toBeVisible();
});

test("the list searches, filters and sorts, and the address keeps it", async ({ page }) => {
  const client = studioClient();
  const made: string[] = [];
  for (const name of ["Listed one", "Listed two", "Other"]) {
    made.push((await client.api.runs.create.mutate(smallRun(name, { steps: 5 }))).id);
  }
  await page.goto("/runs");
  await page.getByRole("searchbox").fill("listed");
  await expect(page.getByRole("link", { name: /^Listed/ })).toHaveCount(2);
  await expect(page.getByRole("link", { name: "Other" })).toHaveCount(0);
  await expect(page).toHaveURL(/q=listed/);
  await page.getByRole("button", { name: /^Name/ }).click();
  await expect(page).toHaveURL(/sort=name\.asc/);
  await expect(page.getByRole("link", { name: /^Listed/ }).first()).toHaveText("Listed one");
  await page.getByRole("button", { name: /^Name/ }).click();
  await expect(page.getByRole("link", { name: /^Listed/ }).first()).toHaveText("Listed two");
  // The list renews itself while something runs.
  await expect(page.locator("tbody").getByText("Completed").locator("visible=true")).toHaveCount(2, {
    timeout: 60_000,
  });
  await page.getByRole("button", { name: /^Completed/ }).click();
  await expect(page).toHaveURL(/status=completed/);
  await page.reload();
  await expect(page.getByRole("searchbox")).toHaveValue("listed");
  await expect(page.getByRole("button", { name: /^Completed/ })).toHaveAttribute("aria-pressed", "true");
  await expect(page.getByText("2 of 2")).toBeVisible();
  for (const id of made) {
    await expect.poll(async () => (await client.api.runs.get.query({ id })).status).toBe("completed");
  }
});
