import path from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Folder of the project's sources, also for code that the bundler has put into files of its own: it keeps `import.meta.url`
 * as it is here, and nothing else of `import.meta`.
 */
export const sourceRoot = path.resolve(
  /*turbopackIgnore: true*/ path.dirname(fileURLToPath(import.meta.url)),
  "..",
);
