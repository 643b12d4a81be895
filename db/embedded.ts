import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import postgres from "postgres";
import { locatePostgres, type PostgresBinaries, postgresMajor } from "./embedded/binaries.ts";
import { EmbeddedDatabaseError } from "./embedded/errors.ts";
import { type Identity, identityFor } from "./embedded/identity.ts";
import { initialiseCluster } from "./embedded/initdb.ts";
import { launchPostmaster, runningPostmaster, stopPostmaster } from "./embedded/postmaster.ts";
import { withStarterLock } from "./embedded/starter-lock.ts";

const databaseName = "facet";
const userName = "facet";

export interface EmbeddedDatabase {
  url: string;
  /** True when this call started the server, false when it attached to one that was running. */
  owned: boolean;
  running(): boolean;
  /** Stops the server, whoever started it: open connections are cut, committed work is on disk. */
  stop(): Promise<void>;
}

/**
 * A PostgreSQL server for one home folder, on loopback with a password, started when it is not running yet.
 * Any number of processes may call this at once; one starts the server, the others attach. The server is its own
 * process group, so Ctrl-C reaches the caller first, and it outlives a caller that is killed.
 *
 * Files: `home/postgres/{data,port,password}` (the password for its owner only), `home/logs/postgres.log`.
 * @throws EmbeddedDatabaseError with the cause and the way out.
 */
export async function ensureDatabase(home: string): Promise<EmbeddedDatabase> {
  const { folder, log } = makeFolders(home);
  const data = path.join(folder, "data");
  return await withStarterLock(path.join(folder, "starting.lock"), async () => {
    const running = () => runningPostmaster(data);
    let owned = false;
    for (;;) {
      let at = running();
      if (at === null) {
        const binaries = locatePostgres();
        const identity = identityFor(binaries, folder, data);
        prepareCluster(binaries, identity, folder, data);
        at = await launchPostmaster({ binaries, identity, data, log, portFile: path.join(folder, "port") });
        owned = true;
      }
      const password = readPassword(folder);
      const { pid, port } = at;
      const alive = () => running()?.pid === pid;
      if (!(await createDatabase(databaseUrl(port, password, "postgres"), log, alive))) continue;
      return {
        url: databaseUrl(port, password, databaseName),
        owned,
        running: () => running() !== null,
        stop: () => stopPostmaster(data),
      };
    }
  });
}

function makeFolders(home: string): { folder: string; log: string } {
  try {
    fs.mkdirSync(home, { recursive: true });
    const root = fs.realpathSync(home);
    const folder = path.join(root, "postgres");
    const logs = path.join(root, "logs");
    fs.mkdirSync(folder, { recursive: true });
    fs.mkdirSync(logs, { recursive: true });
    return { folder, log: path.join(logs, "postgres.log") };
  } catch (cause) {
    throw new EmbeddedDatabaseError("files", `The home folder ${home} cannot be written.`, { cause });
  }
}

function prepareCluster(binaries: PostgresBinaries, identity: Identity, folder: string, data: string): void {
  const versionFile = path.join(data, "PG_VERSION");
  if (!fs.existsSync(versionFile)) {
    const password = randomBytes(24).toString("base64url");
    fs.writeFileSync(path.join(folder, "password"), `${password}\n`, { mode: 0o600 });
    initialiseCluster({ binaries, identity, folder, data, user: userName, password });
    return;
  }
  const version = fs.readFileSync(versionFile, "utf8").trim();
  if (version !== String(postgresMajor)) {
    throw new EmbeddedDatabaseError(
      "version",
      `The database in ${data} was made by PostgreSQL ${version}; this Facet brings PostgreSQL ${postgresMajor}, which cannot open it. Use the Facet that made it, move the folder away to begin anew,`,
    );
  }
}

function readPassword(folder: string): string {
  const file = path.join(folder, "password");
  try {
    return fs.readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new EmbeddedDatabaseError("files", `The database's password file ${file} cannot be read.`, {
      cause,
    });
  }
}

function databaseUrl(port: number, password: string, database: string): string {
  return `postgres://${userName}:${password}@127.0.0.1:${port}/${database}`;
}

/**
 * Waits until the server answers (it may be replaying its log after a crash) and makes the database if need be. False
 * when the server ended meanwhile: it may have been ending when it was found.
 */
async function createDatabase(url: string, log: string, alive: () => boolean): Promise<boolean> {
  const passing = new Set(["ECONNREFUSED", "ECONNRESET", "57P03", "CONNECT_TIMEOUT", "CONNECTION_CLOSED"]);
  const deadline = Date.now() + 60_000;
  for (;;) {
    const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => undefined });
    try {
      const found = await sql`select 1 from pg_database where datname = ${databaseName}`;
      if (found.length === 0) await sql`create database ${sql(databaseName)}`;
      return true;
    } catch (cause) {
      if (passing.has(errorCode(cause)) && !alive()) return false;
      if (!passing.has(errorCode(cause)) || Date.now() > deadline) {
        throw new EmbeddedDatabaseError(
          "start",
          `The embedded PostgreSQL does not answer (${errorCode(cause) || String(cause)}); its log is ${log}.`,
          { cause },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
