import { realpath, stat } from "node:fs/promises";
import path from "node:path";
import { type Environment, isLoopback } from "../environment.ts";
import { PathRefusedError } from "../errors.ts";

/** Folders from which files may be imported by path; null where any may (loopback and nothing configured). */
export function importRoots(env: Environment): string[] | null {
  if (env.import_roots !== null) return env.import_roots;
  return isLoopback(env.host) ? null : [path.join(env.home, "imports")];
}

/**
 * The real path of a file that a user named, after all links, when it is a file (or a folder, with "any") inside an
 * allowed root. Throws `PathRefusedError`. Outside the roots the answer is the same whether the file exists or not.
 */
export async function resolveImportPath(
  env: Environment,
  given: string,
  kind: "file" | "any" = "file",
): Promise<string> {
  if (given.includes("\0")) throw new PathRefusedError("A path cannot hold a NUL character.");
  const roots = importRoots(env);
  if (!path.isAbsolute(given)) {
    throw new PathRefusedError(`“${given}” is not an absolute path; give the whole path on the server.`);
  }
  if (roots !== null && !(await insideAny(roots, path.resolve(given)))) throw outside(given, roots);
  let real: string;
  try {
    real = await realpath(given);
  } catch {
    throw new PathRefusedError(
      `There is no ${kind === "file" ? "file" : "file or folder"} ${given} on the server, or it may not be read.`,
    );
  }
  if (roots !== null && !(await insideAny(roots, real))) throw outside(given, roots);
  const found = await stat(real);
  if (kind === "file" && !found.isFile()) throw new PathRefusedError(`${given} is not a file.`);
  if (!found.isFile() && !found.isDirectory())
    throw new PathRefusedError(`${given} is neither a file nor a folder.`);
  return real;
}

function outside(given: string, roots: string[]): PathRefusedError {
  return new PathRefusedError(
    `${given} lies outside the folders that files may be imported from (${roots.join(", ")}). Move it there, upload it, or set FACET_IMPORT_ROOTS.`,
  );
}

async function insideAny(roots: string[], file: string): Promise<boolean> {
  for (const root of roots) {
    const real = await realpath(root).catch(() => root);
    for (const base of [root, real]) {
      const relative = path.relative(base, file);
      if (relative !== "" && !relative.startsWith("..") && !path.isAbsolute(relative)) return true;
    }
  }
  return false;
}
