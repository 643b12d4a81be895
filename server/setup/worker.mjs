import { installPackages } from "./install.mjs";
import { runScript } from "./report.mjs";
import { installVulkan } from "./software-vulkan.mjs";

await runScript(async () => {
  await installPackages();
  await installVulkan();
});

const { register } = await import("tsx/esm/api");
register();
await import("../worker/main.ts");
