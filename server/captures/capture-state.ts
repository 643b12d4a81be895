import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import { RowFiles } from "./row-files.ts";
import { rowSumsSchema } from "./row-statistics.ts";

/** In the working folder of the capture's first set: one state for all sets, so that they are never apart. */
export const stateFile = "capture-state.json";

const setStateSchema = z.object({
  /** Files of rows that are whole. */
  finished: z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string() })),
  /** Of the file after them. */
  bytes: z.number().int().min(0),
  sums: rowSumsSchema,
});
export type SetState = z.output<typeof setStateSchema>;

const stateSchema = z.object({
  /** Of what is captured and how: a state of anything else is no beginning of this. */
  identity: z.string(),
  /** Whole sequences that stand for sure. */
  sequences: z.number().int().min(0),
  sets: z.array(setStateSchema),
});
export type CaptureState = z.output<typeof stateSchema>;

export function identityHash(identity: unknown): string {
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}

/** What an earlier attempt at the very same left in the working folders; null where it cannot be gone on from. */
export async function readState(
  folders: readonly string[],
  identity: string,
  published: readonly boolean[],
): Promise<CaptureState | null> {
  let state: CaptureState;
  try {
    state = stateSchema.parse(JSON.parse(await readFile(path.join(folders[0]!, stateFile), "utf8")));
  } catch {
    // None, or one that was not written by us.
    return null;
  }
  if (state.identity !== identity || state.sets.length !== folders.length) return null;
  for (const [index, { finished, bytes }] of state.sets.entries()) {
    if (!published[index] && !(await RowFiles.are(folders[index]!, finished, bytes))) return null;
  }
  return state;
}

export async function writeState(folders: readonly string[], state: CaptureState): Promise<void> {
  await writeWholeFile(path.join(folders[0]!, stateFile), async (file) => {
    await file.writeFile(JSON.stringify(state));
  });
}

export async function emptyFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
}
