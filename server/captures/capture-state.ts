import { mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ActivationSetError } from "../artifacts/activation-tensor.ts";
import { namesIn } from "../artifacts/aside.ts";
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import { maskFile, rowsFile } from "../artifacts/captured-manifest.ts";
import { lockFile } from "./capture-lock.ts";
import { stands } from "./growing-file.ts";
import { RowFiles } from "./row-files.ts";
import { rowSumsSchema } from "./row-statistics.ts";

/** In the working folder of the capture's first set: one state for all sets, so that they are never apart. */
export const stateFile = "capture-state.json";

const standingSchema = z.object({ bytes: z.number().int().min(0), sha256: z.string() });

const setStateSchema = z.object({
  /** Files of rows that are whole. */
  finished: z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string() })),
  /** Of the file after them; null where it is not begun. */
  open: standingSchema.nullable(),
  mask: standingSchema,
  sums: rowSumsSchema,
});
export type SetState = z.output<typeof setStateSchema>;

const stateSchema = z.object({
  /** Sequences that go through the model together, so that the rest goes as the beginning went. */
  together: z.number().int().min(1),
  /** Norms beyond which a row is an outlier, by hook point. */
  thresholds: z.record(z.string(), z.number()),
  /** Whole sequences that stand for sure. */
  sequences: z.number().int().min(0),
  sets: z.array(setStateSchema),
});
export type CaptureState = z.output<typeof stateSchema>;

/** In every working folder. */
export const subjectFile = "capture-subject.json";
/** What is captured and how, in plain JSON: a beginning of anything else is no beginning of this. */
export type CaptureSubject = Record<string, unknown>;

/**
 * What an earlier attempt at the very same left in the working folders, every byte of it checked; null where it cannot be
 * gone on from.
 * @throws ActivationSetError where a folder holds the beginning of something else; the reason of `signal`
 */
export async function readState(
  folders: readonly string[],
  subject: CaptureSubject,
  published: readonly boolean[],
  signal: AbortSignal,
): Promise<CaptureState | null> {
  for (const folder of folders) await refuseOther(folder, subject);
  let state: CaptureState;
  try {
    state = stateSchema.parse(JSON.parse(await readFile(path.join(folders[0]!, stateFile), "utf8")));
  } catch {
    // None, or one that was not written by us.
    return null;
  }
  if (state.sets.length !== folders.length) return null;
  for (const [index, { finished, open, mask }] of state.sets.entries()) {
    const folder = folders[index]!;
    if (published[index]) continue;
    if (!(await RowFiles.are(folder, finished, open, signal))) return null;
    if (!(await stands(path.join(folder, maskFile), mask, signal))) return null;
  }
  return state;
}

async function refuseOther(folder: string, subject: CaptureSubject): Promise<void> {
  const text = await readFile(path.join(folder, subjectFile), "utf8").catch(() => null);
  // Without rows nothing of worth is there.
  if (text === null || !(await namesIn(folder)).includes(rowsFile(0))) return;
  let found: object;
  try {
    found = z.record(z.string(), z.json()).parse(JSON.parse(text));
  } catch {
    return;
  }
  const other = difference(found, subject);
  if (other === null) return;
  throw new ActivationSetError(
    `${folder} holds the beginning of another capture: ${other}. Ask for that one again to go on with it, delete the folder, or name another.`,
  );
}

/** In words, where two captures, or sets, are not of the same; null where they are. */
export function difference(found: object, wanted: object): string | null {
  for (const [name, value] of Object.entries(wanted)) {
    const [is, asked] = [JSON.stringify((found as Record<string, unknown>)[name]), JSON.stringify(value)];
    if (is !== asked) return `its ${name} is ${is}, not ${asked}`;
  }
  return null;
}

export async function writeState(folders: readonly string[], state: CaptureState): Promise<void> {
  await writeWholeFile(path.join(folders[0]!, stateFile), async (file) => {
    await file.writeFile(JSON.stringify(state));
  });
}

/** All but the lock goes. */
export async function clearFolder(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (name !== lockFile) await rm(path.join(folder, name), { recursive: true, force: true });
  }
}

/** Begins a working folder; what was in it goes. */
export async function beginFolder(folder: string, subject: CaptureSubject): Promise<void> {
  await mkdir(folder, { recursive: true });
  await clearFolder(folder);
  await writeWholeFile(path.join(folder, subjectFile), async (file) => {
    await file.writeFile(JSON.stringify(subject));
  });
}
