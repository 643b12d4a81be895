import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { folderHash, removeLeftovers, writeFolder } from "../../server/artifacts/atomic-folder.ts";
import { StorageError, storageError } from "../../server/artifacts/storage-error.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-artifacts-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const text = (value: string) => new TextEncoder().encode(value);
const sha256 = (value: Uint8Array | string) => createHash("sha256").update(value).digest("hex");

describe("a folder appears whole or not at all", () => {
  it("writes, hashes and replaces", async () => {
    const target = path.join(home, "a", "b");
    for (const content of ["first", "second"]) {
      const written = await writeFolder(target, async (folder) => {
        await folder.file("x.txt", [text(content), text("!")]);
        await folder.file("a.txt", [text("same")]);
        return content.length;
      });
      expect(await readFile(path.join(target, "x.txt"), "utf8")).toBe(`${content}!`);
      expect(written.bytes).toBe(content.length + 1 + 4);
      expect(written.result).toBe(content.length);
      expect(written.files[0]).toEqual({
        name: "x.txt",
        bytes: content.length + 1,
        sha256: sha256(`${content}!`),
      });
      expect(written.sha256).toBe(sha256(`${sha256("same")}  a.txt\n${sha256(`${content}!`)}  x.txt\n`));
      expect(folderHash([...written.files].reverse())).toBe(written.sha256);
      expect(await readdir(path.dirname(target))).toEqual(["b"]);
    }
  });

  it("leaves the old folder and nothing else when writing fails", async () => {
    const target = path.join(home, "b");
    await writeFolder(target, (folder) => folder.file("x", [text("old")]));
    const failing = writeFolder(target, async (folder) => {
      await folder.file("x", [text("new")]);
      throw new Error("stopped");
    });
    await expect(failing).rejects.toThrow("stopped");
    expect(await readFile(path.join(target, "x"), "utf8")).toBe("old");
    expect(await readdir(home)).toEqual(["b"]);
  });

  it("clears away what a crash left, and puts a folder back that was being replaced", async () => {
    await mkdir(path.join(home, ".b.partial-0123456789ab"));
    await mkdir(path.join(home, ".b.replaced-0123456789ab"));
    await writeFile(path.join(home, ".b.replaced-0123456789ab", "x"), "old");
    await mkdir(path.join(home, ".c.partial-0123456789ab"));
    await mkdir(path.join(home, "c.partial"));
    await removeLeftovers(home, "b");
    expect((await readdir(home)).sort()).toEqual([".c.partial-0123456789ab", "b", "c.partial"]);
    expect(await readFile(path.join(home, "b", "x"), "utf8")).toBe("old");
    await removeLeftovers(home);
    expect((await readdir(home)).sort()).toEqual(["b", "c.partial"]);
  });

  it("says in words that the disk is full, before writing when the size is known", async () => {
    const written: string[] = [];
    const huge = writeFolder(path.join(home, "b"), async () => written.push("b"), 2 ** 60);
    await expect(huge).rejects.toThrow(StorageError);
    await expect(huge).rejects.toThrow(/MB are needed in .* has .* free\. Free some space/);
    expect(written).toEqual([]);
    expect(await readdir(home)).toEqual([]);
  });

  it("turns system errors into cause and next step, and passes others through", () => {
    const system = (code: string) => storageError("/home", Object.assign(new Error(code), { code }));
    expect(system("ENOSPC")).toMatchObject({
      fault: "disk_full",
      message: expect.stringContaining("is full"),
    });
    expect(system("EROFS")).toMatchObject({
      fault: "read_only",
      message: expect.stringContaining("FACET_HOME"),
    });
    expect(system("EACCES")).toMatchObject({ fault: "denied" });
    expect(system("EIO")).toMatchObject({ fault: "failed" });
    const other = new Error("else");
    expect(storageError("/home", other)).toBe(other);
  });

  it("fails in words where a file stands in the way", async () => {
    await writeFile(path.join(home, "file"), "");
    const writing = writeFolder(path.join(home, "file", "b"), (folder) => folder.file("x", []));
    await expect(writing).rejects.toThrow(StorageError);
  });
});
