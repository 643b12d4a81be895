import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CaptureLock, lockFile } from "../../server/captures/capture-lock.ts";
import { ConflictError } from "../../server/errors.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-lock-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));
const at = (name: string) => path.join(home, name);

async function left(holder: object): Promise<string> {
  await mkdir(at("a"), { recursive: true });
  await writeFile(path.join(at("a"), lockFile), JSON.stringify(holder));
  return path.join(at("a"), lockFile);
}

const startOf = async (pid: number) =>
  (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]!.split(" ")[19]!;

describe("the lock of a capture", () => {
  it("keeps a second one out of any of its sets, until it is released", async () => {
    const lock = await CaptureLock.take([at("a"), at("b")]);
    await expect(CaptureLock.take([at("c"), at("b")])).rejects.toThrow(ConflictError);
    // What the refused one had taken, and made, is gone.
    expect(existsSync(at("c"))).toBe(false);
    await writeFile(path.join(at("a"), "kept"), "");
    await lock.release();
    expect([existsSync(at("a")), existsSync(at("b"))]).toEqual([true, false]);
    await (await CaptureLock.take([at("a"), at("b")])).release();
  });

  it("of a process that lives is respected, and of one that ended is not", async () => {
    const parent = { host: hostname(), pid: process.ppid, started: await startOf(process.ppid) };
    await left(parent);
    await expect(CaptureLock.take([at("a")])).rejects.toThrow(/Another process captures into/);
    // The number of another process that was used again, and our own number of an earlier life.
    for (const holder of [
      { ...parent, started: "1" },
      { host: hostname(), pid: process.pid, started: "1" },
      { host: hostname(), pid: 2 ** 22 + 1, started: null },
    ]) {
      await left(holder);
      await (await CaptureLock.take([at("a")])).release();
    }
  });

  it("of another machine counts while it is touched", async () => {
    const file = await left({ host: "elsewhere", pid: 1, started: null });
    await expect(CaptureLock.take([at("a")])).rejects.toThrow(ConflictError);
    const before = new Date(Date.now() - 61_000);
    await utimes(file, before, before);
    await (await CaptureLock.take([at("a")])).release();
  });
});
