import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { vulkanDriversInstalled, withVulkanDriver } from "../../gpu/device/software-vulkan.ts";

describe.runIf(process.platform === "linux")("looking for Vulkan drivers", () => {
  let root = "";
  const nowhere = { XDG_CONFIG_HOME: "/-", XDG_CONFIG_DIRS: "/-", XDG_DATA_HOME: "/-", XDG_DATA_DIRS: "/-" };

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "facet-vulkan-"));
  });
  afterAll(() => rmSync(root, { recursive: true }));

  test("a manifest in one of the loader's folders counts, an empty folder does not", () => {
    const without = vulkanDriversInstalled(nowhere);
    const env = { ...nowhere, XDG_DATA_DIRS: `/-:${root}` };
    mkdirSync(join(root, "vulkan/icd.d"), { recursive: true });
    expect(vulkanDriversInstalled(env)).toBe(without);
    writeFileSync(join(root, "vulkan/icd.d/some_icd.json"), "{}");
    expect(vulkanDriversInstalled(env)).toBe(true);
  });

  test("a driver chosen by the environment counts", () => {
    expect(vulkanDriversInstalled({ ...nowhere, VK_ICD_FILENAMES: "/some/icd.json" })).toBe(true);
    expect(vulkanDriversInstalled({ ...nowhere, VK_DRIVER_FILES: "/some/icd.json" })).toBe(true);
  });
});

test("the driver is chosen only while it is used, also when that fails", async () => {
  const before = process.env.VK_ICD_FILENAMES;
  const seen = await withVulkanDriver("/x.json", async () => process.env.VK_ICD_FILENAMES);
  expect(seen).toBe("/x.json");
  expect(process.env.VK_ICD_FILENAMES).toBe(before);
  await expect(withVulkanDriver("/x.json", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(process.env.VK_ICD_FILENAMES).toBe(before);
});

test("two uses at once wait for each other", async () => {
  const before = process.env.VK_ICD_FILENAMES;
  const look = async () => {
    const first = process.env.VK_ICD_FILENAMES;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return [first, process.env.VK_ICD_FILENAMES];
  };
  const seen = await Promise.all([withVulkanDriver("/a.json", look), withVulkanDriver("/b.json", look)]);
  expect(seen).toEqual([
    ["/a.json", "/a.json"],
    ["/b.json", "/b.json"],
  ]);
  expect(process.env.VK_ICD_FILENAMES).toBe(before);
});
