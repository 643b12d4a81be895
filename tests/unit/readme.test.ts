import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { settings } from "../../server/environment.ts";

const root = resolve(import.meta.dirname, "../..");
const readme = readFileSync(join(root, "README.md"), "utf8");

describe("the README stays true", () => {
  it("documents every setting with the default and the meaning that the code gives", () => {
    const rows = settings
      .filter(({ internal }) => internal !== true)
      .map(({ name, default: value, help }) => `| \`${name}\` | \`${value}\` | ${help} |`);
    const table = readme.split("\n").filter((line) => /^\| `[A-Z_]+` \|/.test(line));
    expect(table).toEqual(rows);
  });

  it("names only npm scripts that exist", () => {
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(
      readFileSync(join(root, "package.json"), "utf8"),
    );
    const named = [...readme.matchAll(/npm (?:run )?(start|test|(?<=run )[\w:]+)/g)].map(
      (match) => match[1]!,
    );
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  it("links only to files that exist", () => {
    const links = [...readme.matchAll(/\]\((?!https?:|#)([^)]+)\)/g)].map((match) => match[1]!);
    expect(links.filter((link) => !existsSync(join(root, link)))).toEqual([]);
  });
});
