import path from "node:path";
import { z } from "zod";
import { parseSettings, readJsonFileIfThere } from "../formats/json-file.ts";
import { asModelError } from "./model-folder-error.ts";

/** Stands in every imported model, and is written last. */
export const manifestFile = "facet-model.json";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().min(0);

const schema = z.object({
  format_version: z.literal(1),
  source: z.discriminatedUnion("kind", [
    /** A folder, by its own name. */
    z.object({ kind: z.literal("folder"), name: z.string() }),
    z.object({
      kind: z.literal("hub"),
      /** Host of the hub. */
      hub: z.string(),
      repo: z.string(),
      /** As it was asked for. */
      revision: z.string(),
      /** What it was then. */
      commit: z.string(),
    }),
  ]),
  /** Hugging Face's. */
  model_type: z.string(),
  parameters: count,
  /** Of all files. */
  bytes: count,
  files: z.array(z.object({ name: z.string(), bytes: count, sha256 })),
  /** Of the whole model: SHA-256 over the lines `<sha256 of file>  <name>`, sorted by name. */
  sha256,
  /** ISO 8601. */
  imported_at: z.string(),
  facet_version: z.string(),
});

/** What an imported model's folder says of itself: where it comes from, and the hashes of its files. */
export type ModelManifest = z.output<typeof schema>;
export type ManifestSource = ModelManifest["source"];

/** Null where the folder was not imported. Throws `ModelFolderError` where it says nonsense. */
export async function readModelManifest(folder: string): Promise<ModelManifest | null> {
  const file = path.join(folder, manifestFile);
  try {
    const found = await readJsonFileIfThere(file);
    return found === null ? null : parseSettings(file, schema, found);
  } catch (error) {
    throw asModelError(file, error);
  }
}
