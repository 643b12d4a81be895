import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { livingProcess } from "../../db/embedded/process.ts";
import { type EmbeddedDatabase, ensureDatabase } from "../../db/embedded.ts";
import { startProgram } from "./processes.ts";

let home: string;
const started: EmbeddedDatabase[] = [];

beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), "facet-embedded-"));
  fs.chmodSync(home, 0o755);
});
afterEach(async () => {
  for (const database of started.splice(0)) await database.stop();
  fs.rmSync(home, { recursive: true, force: true });
});

async function start(): Promise<EmbeddedDatabase> {
  const database = await ensureDatabase(home);
  started.push(database);
  return database;
}

async function query(url: string, statement: string): Promise<postgres.RowList<postgres.Row[]>> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await sql.unsafe(statement);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const pidFile = () => path.join(home, "postgres", "data", "postmaster.pid");
const serverPid = () => Number(fs.readFileSync(pidFile(), "utf8").split("\n")[0]);

describe("the embedded database", () => {
  it("is started once, attached to afterwards, and stopped by whoever wants", async () => {
    const first = await start();
    const second = await ensureDatabase(home);
    expect([first.owned, second.owned]).toEqual([true, false]);
    expect(second.url).toBe(first.url);
    expect(first.running()).toBe(true);
    await second.stop();
    expect(first.running()).toBe(false);
  });

  it("listens on loopback only and asks for a password that only its owner can read", async () => {
    const { url } = await start();
    expect(new URL(url).hostname).toBe("127.0.0.1");
    expect(fs.statSync(path.join(home, "postgres", "password")).mode & 0o777).toBe(0o600);
    const [listening] = await query(url, "show listen_addresses");
    expect(listening).toEqual({ listen_addresses: "127.0.0.1" });
    const wrong = new URL(url);
    wrong.password = "wrong";
    await expect(query(wrong.href, "select 1")).rejects.toMatchObject({ code: "28P01" });
  });

  it("is one server however many processes start it at once", async () => {
    const programs = [1, 2, 3].map(() =>
      startProgram(fileURLToPath(new URL("./ensure-database.ts", import.meta.url)), { FACET_HOME: home }),
    );
    const endings = await Promise.all(programs.map((program) => program.ended));
    started.push(await ensureDatabase(home));
    expect(endings).toEqual([0, 0, 0]);
    const owned = programs.map((program) => program.output().trim().split("\n").at(-1));
    expect(owned.sort()).toEqual(["attached", "attached", "started"]);
  });

  it("keeps what was committed when it is killed, and comes back on its port", async () => {
    const { url } = await start();
    await query(url, "create table kept (n int)");
    await query(url, "insert into kept select generate_series(1, 1000)");
    process.kill(serverPid(), "SIGKILL");
    const again = await start();
    expect(again.owned).toBe(true);
    expect(again.url).toBe(url);
    expect(await query(again.url, "select count(*)::int as n from kept")).toEqual([{ n: 1000 }]);
  });

  it("is not deceived by a pid file that names another program", async () => {
    const first = await start();
    const lines = fs.readFileSync(pidFile(), "utf8").split("\n");
    await first.stop();
    fs.writeFileSync(pidFile(), [String(process.pid), ...lines.slice(1)].join("\n"));
    const again = await start();
    expect(again.owned).toBe(true);
    expect(serverPid()).not.toBe(process.pid);
  });

  it("refuses a data folder of another major version and names the way out", async () => {
    await (await start()).stop();
    fs.writeFileSync(path.join(home, "postgres", "data", "PG_VERSION"), "17\n");
    await expect(ensureDatabase(home)).rejects.toThrow(/PostgreSQL 17.*PostgreSQL 18.*DATABASE_URL/s);
  });

  it.runIf(process.getuid?.() === 0)("works below a folder that only root may enter", async () => {
    fs.chmodSync(home, 0o700);
    const { url } = await start();
    expect(await query(url, "select 1 as one")).toEqual([{ one: 1 }]);
  });
});

describe("a process number", () => {
  it("of a zombie counts as gone", async () => {
    // The shell becomes `sleep`, which never asks how its child ended; the child must end after that.
    const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 30"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once("data", (chunk: Buffer) => resolve(Number(chunk.toString("utf8")))),
    );
    await sleep(1_000);
    expect(() => process.kill(pid, 0)).not.toThrow();
    expect(livingProcess(pid)).toBeNull();
    parent.kill("SIGKILL");
  });

  it("of this process is alive", () => {
    expect(livingProcess(process.pid)?.command).toContain("node");
  });
});
