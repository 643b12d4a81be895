import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { writeWholeFile } from "../../artifacts/atomic-file.ts";
import type { StreamPlace } from "../tokenizer/stream.ts";
import type { Adam } from "./adam.ts";

interface Progress {
  step: number;
  place: StreamPlace;
}

/** The state of a training in one file: a line of JSON, then parameters and both moments in float32. */
export async function saveCheckpoint(
  file: string,
  progress: Progress,
  parameters: Float32Array,
  adam: Adam,
): Promise<void> {
  await writeWholeFile(file, async (handle) => {
    await handle.writeFile(`${JSON.stringify(progress)}\n`);
    for (const values of [parameters, adam.first, adam.second]) {
      await handle.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
  });
}

/** Restores what was saved; null where nothing was. */
export async function loadCheckpoint(
  file: string,
  parameters: Float32Array,
  adam: Adam,
): Promise<Progress | null> {
  if (!existsSync(file)) return null;
  const bytes = await readFile(file);
  const start = bytes.indexOf(0x0a) + 1;
  const count = parameters.length;
  if (bytes.length !== start + 12 * count)
    throw new Error(`${file} is of another shape. Remove it to start anew.`);
  const values = new Float32Array(new Uint8Array(bytes.subarray(start)).buffer);
  [parameters, adam.first, adam.second].forEach((to, index) => {
    to.set(values.subarray(index * count, (index + 1) * count));
  });
  return JSON.parse(bytes.subarray(0, start).toString()) as Progress;
}
