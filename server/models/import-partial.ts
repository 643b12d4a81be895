import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { syncFolder } from "../artifacts/atomic-folder.ts";
import { ConflictError } from "../errors.ts";

/** Says whose files a half-made folder holds: those of another commit are no beginning of these. */
const stateFile = "import-source.json";
/** Held by who is at work on the folder. */
const lockFile = "import-lock.json";

const heartbeatMs = 10_000;
/** A lock that was not touched for so long is of a process that ended without a word. */
const staleMs = 60_000;

/** The folder in which a model is put together, beside its place. */
export class PartialFolder {
  readonly target: string;
  /** `<target>.partial`. */
  readonly path: string;
  readonly #heartbeat: NodeJS.Timeout;

  private constructor(target: string, partial: string) {
    this.target = target;
    this.path = partial;
    const lock = path.join(partial, lockFile);
    this.#heartbeat = setInterval(() => {
      const now = new Date();
      // The next beat will tell; a lock that is gone was taken by who thought us dead.
      utimes(lock, now, now).catch(() => undefined);
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  /**
   * @param source What is imported, as JSON has it.
   * @param resumable What earlier work on the same source has left is kept. Otherwise all is begun anew.
   * @throws ConflictError where the target is there already, or someone else is at work on it
   */
  static async open(target: string, source: unknown, resumable: boolean): Promise<PartialFolder> {
    await refuseTaken(target);
    const partial = `${target}.partial`;
    await mkdir(partial, { recursive: true });
    await lock(partial);
    const state = JSON.stringify(source);
    const left = await readFile(path.join(partial, stateFile), "utf8").catch(() => null);
    if (left !== state || !resumable) {
      for (const name of await readdir(partial)) {
        if (name !== lockFile) await rm(path.join(partial, name), { recursive: true, force: true });
      }
      await writeFile(path.join(partial, stateFile), state);
    }
    return new PartialFolder(target, partial);
  }

  /** Bytes that earlier work has left here. */
  async bytes(): Promise<number> {
    const sizes = (await readdir(this.path)).map(
      async (name) => (await stat(path.join(this.path, name))).size,
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** Gives the finished folder its name; it holds these files and no others. */
  async publish(files: readonly string[]): Promise<void> {
    for (const name of await readdir(this.path)) {
      if (name === lockFile || files.includes(name)) continue;
      await rm(path.join(this.path, name), { recursive: true, force: true });
    }
    await syncFolder(this.path);
    await refuseTaken(this.target);
    clearInterval(this.#heartbeat);
    await rm(path.join(this.path, lockFile), { force: true });
    await rename(this.path, this.target).catch((error: NodeJS.ErrnoException) => {
      throw error.code === "ENOTEMPTY" || error.code === "EEXIST" ? taken(this.target) : error;
    });
    await syncFolder(path.dirname(this.target));
  }

  /** Leaves what is there, if there is anything, for another time. */
  async leave(): Promise<void> {
    const left = (await readdir(this.path)).filter((name) => name !== lockFile && name !== stateFile);
    if (left.length === 0) return this.remove();
    clearInterval(this.#heartbeat);
    await rm(path.join(this.path, lockFile), { force: true });
  }

  async remove(): Promise<void> {
    clearInterval(this.#heartbeat);
    await rm(this.path, { recursive: true, force: true });
  }
}

/** An empty folder may be there. */
async function refuseTaken(target: string): Promise<void> {
  try {
    if ((await readdir(target)).length === 0) return;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    if (!(error instanceof Error && "code" in error && error.code === "ENOTDIR")) throw error;
  }
  throw taken(target);
}

function taken(target: string): ConflictError {
  return new ConflictError(`${target} is there already, and nothing is written over. Name another folder.`);
}

async function lock(partial: string): Promise<void> {
  const file = path.join(partial, lockFile);
  const own = JSON.stringify({ host: hostname(), pid: process.pid });
  for (let again = false; ; again = true) {
    try {
      await writeFile(file, own, { flag: "wx" });
      return;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    if (again || !(await isStale(file))) {
      throw new ConflictError(`Another import is at work in ${partial}. Wait until it ends, or stop it.`);
    }
    await rm(file, { force: true });
  }
}

async function isStale(file: string): Promise<boolean> {
  const touched = await stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
  if (Date.now() - touched > staleMs) return true;
  const text = await readFile(file, "utf8").catch(() => "");
  const holder = /^\{"host":"([^"]*)","pid":(\d+)\}$/.exec(text);
  if (holder === null || holder[1] !== hostname()) return false;
  try {
    process.kill(Number(holder[2]), 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}
