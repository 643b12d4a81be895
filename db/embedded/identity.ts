import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { PostgresBinaries } from "./binaries.ts";
import { EmbeddedDatabaseError } from "./errors.ts";

/** As whom PostgreSQL runs: words to put before its command line, and whom its files must belong to. */
export interface Identity {
  prefix: readonly string[];
  owner: { uid: number; gid: number } | null;
}

const nobody = 65_534;

/**
 * PostgreSQL refuses user id 0, and containers with a GPU mostly run as root. There it becomes the owner of its
 * data folder, for a new one `nobody`, as long as that user can reach the program and the folder; below a folder
 * that only root may enter, root itself under another number in a user namespace.
 */
export function identityFor(binaries: PostgresBinaries, folder: string, data: string): Identity {
  if (process.getuid?.() !== 0) return { prefix: [], owner: null };
  const existing = fs.existsSync(data) ? fs.statSync(data) : null;
  const candidates: Identity[] = [];
  if (existing === null || existing.uid !== 0) {
    candidates.push(asUser(existing?.uid ?? nobody, existing?.gid ?? nobody));
  }
  if (existing === null || existing.uid === 0) {
    candidates.push({
      prefix: ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"],
      owner: null,
    });
  }
  const works = candidates.find((candidate) => canRun(candidate, binaries, folder));
  if (works !== undefined) return works;
  const parent = path.dirname(folder);
  throw new EmbeddedDatabaseError(
    "root",
    `PostgreSQL does not run as root, and here it can run neither as another user (setpriv; that user must be able to enter ${parent} and ${path.dirname(binaries.postgres)}) nor in a user namespace (unshare). Run Facet as an ordinary user, set FACET_HOME to a folder that every user can enter,`,
  );
}

function asUser(uid: number, gid: number): Identity {
  return {
    prefix: ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"],
    owner: { uid, gid },
  };
}

function canRun({ prefix }: Identity, binaries: PostgresBinaries, folder: string): boolean {
  const [command, ...words] = prefix;
  if (command === undefined) return true;
  const succeeds = (...tail: string[]) =>
    spawnSync(command, [...words, ...tail], { stdio: "ignore" }).status === 0;
  return succeeds(binaries.postgres, "--version") && succeeds("test", "-x", folder);
}
