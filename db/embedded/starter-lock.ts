import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { EmbeddedDatabaseError } from "./errors.ts";
import { livingProcess } from "./process.ts";

const patienceMs = 120_000;

/** Runs `work` while holding `file`, so that of several starters on one home folder one works and the rest wait. */
export async function withStarterLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const mine = `${process.pid} ${livingProcess(process.pid)?.started ?? ""} ${randomUUID()}`;
  const deadline = Date.now() + patienceMs;
  while (!take(file, mine)) {
    if (Date.now() > deadline) {
      throw new EmbeddedDatabaseError(
        "lock",
        `Another process has been starting the database for two minutes (${file}).`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    return await work();
  } finally {
    if (read(file) === mine) fs.rmSync(file, { force: true });
  }
}

function take(file: string, mine: string): boolean {
  // A link appears whole or not at all: no reader sees a lock without its owner's name.
  const aside = `${file}.${process.pid}`;
  fs.writeFileSync(aside, mine);
  try {
    fs.linkSync(aside, file);
    return true;
  } catch (cause) {
    if (!isCode(cause, "EEXIST")) {
      throw new EmbeddedDatabaseError("files", `The lock ${file} cannot be made.`, { cause });
    }
  } finally {
    fs.rmSync(aside, { force: true });
  }
  const holder = read(file);
  if (holder !== null && !isHeld(holder)) breakLock(file, holder);
  return false;
}

/** Takes a dead holder's lock away. What was moved may be a newer lock by then; that one goes back. */
function breakLock(file: string, holder: string): void {
  const moved = `${file}.${process.pid}.stale`;
  try {
    fs.renameSync(file, moved);
  } catch (cause) {
    if (isCode(cause, "ENOENT")) return;
    throw new EmbeddedDatabaseError("files", `The stale lock ${file} cannot be removed.`, { cause });
  }
  if (read(moved) !== holder && !fs.existsSync(file)) fs.linkSync(moved, file);
  fs.rmSync(moved, { force: true });
}

function isHeld(holder: string): boolean {
  const [pid, started] = holder.split(" ");
  const process = livingProcess(Number(pid));
  return process !== null && process.started === started;
}

function read(file: string): string | null {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (cause) {
    if (isCode(cause, "ENOENT")) return null;
    throw new EmbeddedDatabaseError("files", `The lock ${file} cannot be read.`, { cause });
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
