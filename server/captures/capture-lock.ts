import { mkdir, readdir, readFile, rm, rmdir, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { z } from "zod";
import { ConflictError } from "../errors.ts";

/** In the working folder of a set; held by who captures into it. */
export const lockFile = "capture-lock.json";
/** Beside a lock while one that a dead process left is being removed. */
export const breakingOf = (lock: string): string => `${lock}.breaking`;

const heartbeatMs = 10_000;
/** A lock of another machine that was not touched for so long is of a process that ended without a word. */
const staleMs = 60_000;
/** Removing a dead process's lock takes milliseconds; who has not ended it by then has ended itself. */
const breakingMs = 10_000;

const holderSchema = z.object({
  host: z.string(),
  pid: z.number().int().min(1),
  /** When the process began, in the kernel's ticks: numbers of processes are used again. Null where none can be told. */
  started: z.string().nullable(),
});
type Holder = z.output<typeof holderSchema>;

/** Files that this process holds. */
const held = new Set<string>();

/** One process at a time captures into a set. */
export class CaptureLock {
  readonly #files: readonly string[];
  readonly #heartbeat: NodeJS.Timeout;

  private constructor(files: readonly string[]) {
    this.#files = files;
    this.#heartbeat = setInterval(() => {
      const now = new Date();
      // One that has moved along with its folder needs no more beats.
      for (const file of files) utimes(file, now, now).catch(() => undefined);
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  /** Makes the folders and takes them all, or none. @throws ConflictError where another process has one */
  static async take(folders: readonly string[]): Promise<CaptureLock> {
    const taken: string[] = [];
    try {
      for (const folder of folders) {
        await mkdir(folder, { recursive: true });
        const file = path.join(folder, lockFile);
        await take(file);
        held.add(file);
        taken.push(file);
      }
      return new CaptureLock(taken);
    } catch (error) {
      await release(taken);
      throw error;
    }
  }

  /** A folder in which nothing but the lock is goes with it. */
  async release(): Promise<void> {
    clearInterval(this.#heartbeat);
    await release(this.#files);
  }
}

async function release(files: readonly string[]): Promise<void> {
  for (const file of files) {
    held.delete(file);
    // One that was taken for dead meanwhile is another's now.
    const holder = await holderOf(file);
    const own = holder === null || (holder.host === hostname() && holder.pid === process.pid);
    if (own) await rm(file, { force: true });
    const folder = path.dirname(file);
    const left = await readdir(folder).catch(() => null);
    if (left?.length === 0) await rmdir(folder).catch(() => undefined);
  }
}

async function take(file: string): Promise<void> {
  const own: Holder = { host: hostname(), pid: process.pid, started: await startOf(process.pid) };
  if (await create(file, own)) return;
  if (await isHeld(file)) throw taken(file);
  // Of several that find a dead process's lock only one may remove it: the next would remove the first one's own.
  const breaking = breakingOf(file);
  if (!(await create(breaking, own))) {
    const begun = await touchedAt(breaking);
    if (Date.now() - begun > breakingMs) await rm(breaking, { force: true });
    throw taken(file);
  }
  try {
    if (await isHeld(file)) throw taken(file);
    await rm(file, { force: true });
    if (!(await create(file, own))) throw taken(file);
  } finally {
    await rm(breaking, { force: true });
  }
}

function taken(file: string): ConflictError {
  return new ConflictError(
    `Another process captures into ${path.dirname(file)}. Wait until it ends, or stop it.`,
  );
}

/** False where the file is there already. */
async function create(file: string, holder: Holder): Promise<boolean> {
  try {
    await writeFile(file, JSON.stringify(holder), { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** 0 for a file that is not there. */
function touchedAt(file: string): Promise<number> {
  return stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}

async function isHeld(file: string): Promise<boolean> {
  const touched = await touchedAt(file);
  const holder = await holderOf(file);
  // One that was cut short while it was written says nobody's name.
  if (holder === null || holder.host !== hostname()) return Date.now() - touched <= staleMs;
  if (holder.pid === process.pid) return held.has(file);
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
  }
  return holder.started === null || holder.started === (await startOf(holder.pid));
}

async function holderOf(file: string): Promise<Holder | null> {
  try {
    return holderSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return null;
  }
}

/** From `/proc/<pid>/stat`, where there is one: the 22nd field, counted behind the name, which may hold anything. */
async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}
