import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { defineConfig } from "@playwright/test";

// The configuration is read once more in every worker process, which inherits what the first reading chose.
process.env.FACET_E2E_PORT ??= String(20_000 + Math.floor(Math.random() * 20_000));
process.env.FACET_E2E_HOME ??= fs.mkdtempSync(path.join(os.tmpdir(), "facet-e2e-"));

const home = process.env.FACET_E2E_HOME;
const port = process.env.FACET_E2E_PORT;
const origin = `http://127.0.0.1:${port}`;

const quiet = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** A system of its own: database, home, web server and GPU worker, as `npm start` makes it, without the sample run. */
export default defineConfig({
  testDir: "tests/e2e",
  globalTeardown: "./tests/e2e/remove-home.ts",
  // One software adapter uses every core.
  workers: 1,
  // Generous, for machines that are busy with other things; a quiet one needs a fraction.
  timeout: 180_000,
  expect: { timeout: 30_000 },
  forbidOnly: Boolean(process.env.CI),
  reporter: "list",
  use: {
    baseURL: origin,
    viewport: { width: 1280, height: 900 },
    // Recording every page costs a third of the suite's time; `--trace on` records what has to be looked into.
    trace: "off",
  },
  projects: [
    {
      name: "studio",
      testIgnore: "playground.spec.ts",
      // Without a GPU process that draws in software: half of Chromium's work.
      use: { launchOptions: { executablePath, args: [...quiet, "--disable-gpu"] } },
    },
    {
      name: "playground",
      testMatch: "playground.spec.ts",
      use: {
        launchOptions: {
          executablePath,
          args: [...quiet, "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
        },
      },
    },
  ],
  webServer: {
    command: "node --import tsx server/start.ts",
    url: `${origin}/api/ready`,
    timeout: 60_000,
    gracefulShutdown: { signal: "SIGTERM", timeout: 20_000 },
    stdout: "ignore",
    env: {
      HOST: "127.0.0.1",
      PORT: port,
      FACET_HOME: home,
      FACET_ADAPTER: "software",
      FACET_SAMPLE: "0",
      DATABASE_URL: "",
      NEXT_TELEMETRY_DISABLED: "1",
    },
  },
});
