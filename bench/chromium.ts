import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "@playwright/test";
import { createViteServer } from "vitest/node";
import type { SuiteOptions, SuiteResult } from "./suite.ts";

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/opt/google/chrome/chrome",
];

/** Browser to run in: CHROMIUM, or the first of the usual places. */
function findChromium(): string {
  const chosen = process.env.CHROMIUM;
  const found = chosen ?? places.find((path) => existsSync(path));
  if (found === undefined || !existsSync(found)) {
    throw new Error(
      `No Chromium at ${chosen ?? places.join(", ")}. Install it (apt install chromium) or name it in CHROMIUM.`,
    );
  }
  return found;
}

/** Runs the suite in a headless Chromium, with the library's files served unbundled from loopback. */
export async function runInChromium(
  options: SuiteOptions & { software: boolean },
  log: (line: string) => void,
): Promise<{ version: string; suite: SuiteResult }> {
  const executablePath = findChromium();
  const cacheDir = mkdtempSync(join(tmpdir(), "facet-bench-"));
  const server = await createViteServer({
    root: fileURLToPath(new URL("..", import.meta.url)),
    configFile: false,
    cacheDir,
    logLevel: "error",
    appType: "custom",
    server: { host: "127.0.0.1", port: 0, hmr: false, watch: null },
    // Found later, they would reload the page in the midst of a measurement.
    optimizeDeps: { noDiscovery: true, include: ["wesl/core", "zod"] },
    plugins: [
      {
        name: "empty-page",
        configureServer({ middlewares }) {
          middlewares.use("/bench.html", (_request, response) => {
            response
              .setHeader("content-type", "text/html")
              .end("<!doctype html><title>bench</title><link rel=icon href=data:,>");
          });
        },
      },
    ],
  });
  try {
    await server.listen();
    const origin = server.resolvedUrls?.local[0];
    if (origin === undefined) throw new Error("The bench page's server did not start.");
    const browser = await chromium.launch({
      executablePath,
      headless: true,
      args: [
        "--no-sandbox",
        "--enable-unsafe-webgpu",
        // Unquantised timestamps, without which short kernels measure as zero.
        "--enable-webgpu-developer-features",
        ...(options.software ? ["--use-webgpu-adapter=swiftshader"] : []),
      ],
    });
    try {
      const page = await browser.newPage();
      page.on("console", (message) => log(message.text()));
      await page.goto(`${origin}bench.html`);
      const suite = await page.evaluate(
        async ({ quick, cases, lm, module }) => {
          const { runInPage }: typeof import("./page.ts") = await import(module);
          return runInPage({ quick, cases, lm });
        },
        { quick: options.quick, cases: options.cases, lm: options.lm, module: "/bench/page.ts" },
      );
      return { version: browser.version(), suite };
    } finally {
      await browser.close();
    }
  } finally {
    await server.close();
    rmSync(cacheDir, { recursive: true, force: true });
  }
}
