import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CaptureLock, lockFile } from "../../server/captures/capture-lock.ts";
import { ConflictError } from "../../server/errors.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-capture-lock-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const folder = () => path.join(home, "set.capture");

/** As a process that was killed leaves it. */
async function leaveDead(): Promise<void> {
  await mkdir(folder(), { recursive: true });
  // No system has a process of this number.
  const holder = { host: hostname(), pid: 2 ** 22 + 1, started: "1" };
  await writeFile(path.join(folder(), lockFile), JSON.stringify(holder));
}

describe("the lock of a capture", () => {
  it("is held by one, and nothing is left of it", async () => {
    const lock = await CaptureLock.take([folder()]);
    await expect(CaptureLock.take([folder()])).rejects.toThrow(
      /Another process captures into .*set\.capture/,
    );
    await lock.release();
    expect(await readdir(home)).toEqual([]);
  });

  it("that a killed process left is taken by one of many that want it at once", async () => {
    for (let round = 0; round < 30; round++) {
      await leaveDead();
      const asked = Array.from({ length: 6 }, () => CaptureLock.take([folder()]));
      const held: CaptureLock[] = [];
      for (const one of await Promise.allSettled(asked)) {
        if (one.status === "fulfilled") held.push(one.value);
        else expect(one.reason).toBeInstanceOf(ConflictError);
      }
      expect(held).toHaveLength(1);
      await expect(CaptureLock.take([folder()])).rejects.toThrow(ConflictError);
      await held[0]!.release();
      expect(await readdir(home)).toEqual([]);
    }
  });

  it("that another has taken over stays the other's", async () => {
    const lock = await CaptureLock.take([folder()]);
    const other = JSON.stringify({ host: "elsewhere", pid: 1, started: null });
    await writeFile(path.join(folder(), lockFile), other);
    await lock.release();
    expect(await readFile(path.join(folder(), lockFile), "utf8")).toBe(other);
  });
});
