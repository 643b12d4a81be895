import { openGpu } from "../gpu/device/browser.ts";
import { runSuite, type SuiteOptions, type SuiteResult } from "./suite.ts";

/** The browser's side: called in the page by chromium.ts, reports progress on the console. */
export async function runInPage(options: SuiteOptions): Promise<SuiteResult> {
  const gpu = await openGpu();
  try {
    return await runSuite(gpu, options, (line) => console.info(line));
  } finally {
    gpu.close();
  }
}
