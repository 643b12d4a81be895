import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = path.dirname(fileURLToPath(import.meta.url));

/** The sample that comes with the project: a language model, and the text that it can be tried on. See docs/sample.md. */
export const sampleFiles = {
  model: { name: "Sample language model", folder: path.join(folder, "model") },
  /** JSON lines: `text`, and what it is in `kind` and `topic`. */
  text: { name: "Sample stories", file: path.join(folder, "text", "stories.jsonl") },
  /** Sizes, seeds, losses and hashes. */
  description: path.join(folder, "sample.json"),
} as const;
