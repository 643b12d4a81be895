import fs from "node:fs";

/** Marks the home of this test run for removal: it goes when this process ends, after the server that uses it. */
export default function removeHomeAtExit(): void {
  const home = process.env.FACET_E2E_HOME;
  if (home) process.on("exit", () => fs.rmSync(home, { recursive: true, force: true, maxRetries: 3 }));
}
