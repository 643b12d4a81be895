import { AxeBuilder } from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

/** What axe finds on the page as it stands: every rule in light, and those that colours decide once more in dark. */
export async function violations(page: Page): Promise<string[]> {
  const inLight = await found(page, "light", new AxeBuilder({ page }));
  const inDark = await found(
    page,
    "dark",
    new AxeBuilder({ page }).withRules(["color-contrast", "link-in-text-block"]),
  );
  return [...inLight, ...inDark];
}

async function found(page: Page, scheme: "light" | "dark", axe: AxeBuilder): Promise<string[]> {
  await page.emulateMedia({ colorScheme: scheme });
  await expect(page.locator("html")).toHaveAttribute("data-theme", scheme);
  // What is being looked up again is dimmed meanwhile.
  await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
  await restOfAnimations(page);
  const { violations: broken } = await axe.analyze();
  return broken.map(
    ({ id, nodes }) => `${scheme}: ${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`,
  );
}

/** Colours are judged when nothing fades any more. */
async function restOfAnimations(page: Page): Promise<void> {
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        .map((one) =>
          one.effect?.getComputedTiming().iterations === Number.POSITIVE_INFINITY ? undefined : one.finished,
        ),
    ),
  );
}
