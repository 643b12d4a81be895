import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { asModelError } from "./model-folder-error.ts";

/** Files that decide what a model computes. */
const decisive = /^(config\.json|model.*\.safetensors(\.index\.json)?)$/;

/**
 * SHA-256 over the names and contents of a folder's configuration and weights: equal models have equal ones, wherever
 * they lie. Reads all of them once.
 * @throws ModelFolderError; the reason of `signal`
 */
export async function modelHash(folder: string, signal: AbortSignal): Promise<string> {
  const all = createHash("sha256");
  try {
    const names = (await readdir(folder)).filter((name) => decisive.test(name)).sort();
    for (const name of names) {
      const one = createHash("sha256");
      for await (const chunk of createReadStream(path.join(folder, name), { signal })) {
        one.update(chunk as Uint8Array);
      }
      all.update(`${name}\n${one.digest("hex")}\n`);
    }
    return all.digest("hex");
  } catch (error) {
    signal.throwIfAborted();
    throw asModelError(folder, error);
  }
}
