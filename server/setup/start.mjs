import { buildStudio } from "./build.mjs";
import { installPackages } from "./install.mjs";
import { runScript } from "./report.mjs";
import { installVulkan } from "./software-vulkan.mjs";

const parent = process.ppid;
await runScript(async () => {
  await installPackages();
  await installVulkan();
  await buildStudio();
});

// npm was ended during the set-up, which does not reach this process.
if (process.ppid !== parent) process.exit(1);

// In this process: one less to pass signals on, and none that could be left behind.
const { register } = await import("tsx/esm/api");
register();
await import("../start.ts");
