import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { TestProject } from "vitest/node";
import { ensureDatabase } from "../../db/embedded.ts";

declare module "vitest" {
  interface ProvidedContext {
    postgresUrl: string;
    /** Folder of that server, for tests that kill and start it. */
    postgresHome: string;
  }
}

/** One real server for the whole integration project, in a folder that goes with it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "facet-tests-"));
  // As root the server runs as another user, who must be able to enter.
  fs.chmodSync(home, 0o755);
  const server = await ensureDatabase(home);
  project.provide("postgresUrl", server.url);
  project.provide("postgresHome", home);
  return async () => {
    await server.stop();
    fs.rmSync(home, { recursive: true, force: true });
  };
}
