import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where distributions put the manifest of the software Vulkan driver (SwiftShader) that comes with Chromium. */
const manifests = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

/** Manifest of an installed software driver, or null. */
export function findSoftwareVulkan(): string | null {
  return manifests.find((path) => existsSync(path)) ?? null;
}

/**
 * Whether the Vulkan loader has any driver to load of its own. Asked first because Dawn prints warnings, which cannot
 * be turned off, when there is none. The folders are those of the loader's documentation (LoaderDriverInterface.md).
 */
export function vulkanDriversInstalled(env: Record<string, string | undefined> = process.env): boolean {
  if (process.platform !== "linux") return true;
  const chosen = [env.VK_DRIVER_FILES, env.VK_ICD_FILENAMES, env.VK_ADD_DRIVER_FILES];
  if (chosen.some((files) => files !== undefined && files !== "")) return true;
  const list = (value: string | undefined, standard: string) => (value || standard).split(":");
  const roots = [
    ...list(env.XDG_CONFIG_HOME, join(homedir(), ".config")),
    ...list(env.XDG_CONFIG_DIRS, "/etc/xdg"),
    "/etc",
    "/usr/local/etc",
    ...list(env.XDG_DATA_HOME, join(homedir(), ".local/share")),
    ...list(env.XDG_DATA_DIRS, "/usr/local/share:/usr/share"),
  ];
  return roots.some((root) => {
    const folder = join(root, "vulkan/icd.d");
    return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(".json"));
  });
}

let lastUse: Promise<unknown> = Promise.resolve();

/**
 * Runs `use` while the Vulkan loader sees only the given driver; the loader reads the variable at each new instance.
 * One use at a time, since the environment is one for the whole process.
 */
export function withVulkanDriver<T>(manifest: string, use: () => Promise<T>): Promise<T> {
  const inEnvironment = async () => {
    const before = process.env.VK_ICD_FILENAMES;
    process.env.VK_ICD_FILENAMES = manifest;
    try {
      return await use();
    } finally {
      if (before === undefined) delete process.env.VK_ICD_FILENAMES;
      else process.env.VK_ICD_FILENAMES = before;
    }
  };
  const result = lastUse.then(inEnvironment, inEnvironment);
  lastUse = result;
  return result;
}
