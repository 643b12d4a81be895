import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { PostgresBinaries } from "./binaries.ts";
import { EmbeddedDatabaseError } from "./errors.ts";
import type { Identity } from "./identity.ts";

export interface NewCluster {
  binaries: PostgresBinaries;
  identity: Identity;
  folder: string;
  data: string;
  user: string;
  password: string;
}

/** Makes a new data folder, aside first, so that one cut off half-way is never taken for a whole one. */
export function initialiseCluster({ binaries, identity, folder, data, user, password }: NewCluster): void {
  const work = path.join(folder, "initialising");
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(work, { mode: 0o700 });
  const passwordFile = path.join(work, "password");
  fs.writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (identity.owner !== null) {
    for (const file of [work, passwordFile]) fs.chownSync(file, identity.owner.uid, identity.owner.gid);
  }
  const fresh = path.join(work, "data");
  const [command = "", ...words] = [
    ...identity.prefix,
    binaries.initdb,
    `--pgdata=${fresh}`,
    `--username=${user}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--no-instructions",
  ];
  const made = spawnSync(command, words, { cwd: work, encoding: "utf8" });
  if (made.status !== 0) {
    const cause = made.error ?? new Error(made.stderr.trim());
    throw new EmbeddedDatabaseError("start", `PostgreSQL cannot make its data folder: ${cause.message}.`, {
      cause,
    });
  }
  fs.renameSync(fresh, data);
  fs.rmSync(work, { recursive: true, force: true });
}
