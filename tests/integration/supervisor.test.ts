import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runningPostmaster } from "../../db/embedded/postmaster.ts";
import { livingProcess } from "../../db/embedded/process.ts";
import { ensureDatabase } from "../../db/embedded.ts";
import { lockHome } from "../../server/start/home-lock.ts";
import { unableExitCode } from "../../server/worker/messages.ts";
import { freshDatabase } from "./database.ts";
import { descendants, type Program, startProgram, until } from "./processes.ts";

const built = fs.existsSync(path.resolve(import.meta.dirname, "../../.next/BUILD_ID"));

let home: string;
let port: number;
let programs: Program[] = [];

beforeEach(async () => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), "facet-start-"));
  fs.chmodSync(home, 0o755);
  port = await freePort();
});
afterEach(async () => {
  for (const program of programs) program.signal("SIGKILL");
  await Promise.all(programs.map((program) => program.ended));
  programs = [];
  if (fs.existsSync(path.join(home, "postgres", "data"))) await (await ensureDatabase(home)).stop();
  fs.rmSync(home, { recursive: true, force: true });
});

function start(settings: Record<string, string> = {}): Program {
  const program = startProgram("server/start.ts", {
    FACET_HOME: home,
    PORT: String(port),
    FACET_SAMPLE: "0",
    ...settings,
  });
  programs.push(program);
  return program;
}

const databaseRuns = () => runningPostmaster(path.join(home, "postgres", "data")) !== null;
const lines = (program: Program) => program.output().trim().split("\n");

describe("a start that cannot be", () => {
  it("says in one line that the home folder is in use, and by whom", async () => {
    const database = await freshDatabase();
    const lock = await lockHome(database.url, home, "http://127.0.0.1:1234/");
    const program = start({ DATABASE_URL: database.url });
    expect(await program.ended).toBe(1);
    expect(lines(program)).toEqual([expect.stringMatching(/already runs on .*http:\/\/127\.0\.0\.1:1234\//)]);
    await lock.release();
    await database.drop();
  });

  it("says in one line that the port is in use, and leaves no database behind", async () => {
    const other = net.createServer();
    await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
    const program = start();
    expect(await program.ended).toBe(1);
    expect(lines(program)).toEqual([expect.stringMatching(`Port ${port} on 127.0.0.1 is in use.*PORT=`)]);
    expect(databaseRuns()).toBe(false);
    other.close();
  });

  it("says in one line that the database of DATABASE_URL cannot be reached, without its password", async () => {
    const program = start({ DATABASE_URL: `postgres://facet:secret@127.0.0.1:${port}/runs` });
    expect(await program.ended).toBe(1);
    expect(lines(program)).toEqual([
      expect.stringMatching(`database runs on 127.0.0.1:${port} cannot be used.*DATABASE_URL`),
    ]);
    expect(program.output()).not.toContain("secret");
  });

  it("of a worker whose database is not there is said in one line, and left to be tried again", async () => {
    const worker = startProgram("server/worker/main.ts", {
      FACET_HOME: home,
      DATABASE_URL: `postgres://facet:secret@127.0.0.1:${port}/runs`,
    });
    programs.push(worker);
    const ending = await worker.ended;
    expect(ending).not.toBe(unableExitCode);
    expect(ending).toBe(1);
    expect(lines(worker)).toEqual([expect.stringMatching(/cannot be used.*DATABASE_URL/)]);
  });

  it("names every setting that cannot be used", async () => {
    const program = start({ PORT: "many", FACET_SAMPLE: "perhaps" });
    expect(await program.ended).toBe(1);
    expect(program.output()).toContain("PORT");
    expect(program.output()).toContain("FACET_SAMPLE");
  });
});

describe.runIf(built)("a start", () => {
  it("brings up studio and worker, starts a killed worker again, and stops everything in order", async () => {
    const program = start();
    await until("the URL is printed", () => program.output().includes(`http://127.0.0.1:${port}/`));
    expect((await fetch(`http://127.0.0.1:${port}/api/health`)).status).toBe(200);
    await until("the adapter is printed", () => program.output().includes("Adapter: "));
    const [worker] = descendants(program.pid, "worker/main.ts");
    process.kill(worker ?? 0, "SIGKILL");
    await until("the worker is started again", () => {
      const [now] = descendants(program.pid, "worker/main.ts");
      return now !== undefined && now !== worker;
    });
    expect(program.output()).toContain("SIGKILL");
    const below = descendants(program.pid, "");
    program.signal("SIGTERM");
    expect(await program.ended).toBe(0);
    expect(below.filter((pid) => livingProcess(pid) !== null)).toEqual([]);
    expect(databaseRuns()).toBe(false);
  });

  it("uses the database of DATABASE_URL, makes its home folder, and starts no embedded one", async () => {
    const database = await freshDatabase();
    const own = path.join(home, "new");
    const program = start({ DATABASE_URL: database.url, FACET_HOME: own });
    await until("the adapter is printed", () => program.output().includes("Adapter: "));
    expect(program.output()).toContain("that of DATABASE_URL");
    expect(fs.existsSync(path.join(own, "postgres"))).toBe(false);
    program.signal("SIGTERM");
    expect(await program.ended).toBe(0);
    await database.drop();
  });

  it("that is killed takes studio and worker with it, and the next one finds its database", async () => {
    const program = start();
    await until("the adapter is printed", () => program.output().includes("Adapter: "));
    const below = [...descendants(program.pid, "worker/main.ts"), ...descendants(program.pid, "next")];
    expect(below.length).toBeGreaterThanOrEqual(2);
    program.signal("SIGKILL");
    await program.ended;
    await until("nothing is left", () => below.every((pid) => livingProcess(pid) === null), 30_000);
    expect(databaseRuns()).toBe(true);
    const next = start();
    await until("the next one serves", () => next.output().includes(`http://127.0.0.1:${port}/`));
    next.signal("SIGINT");
    expect(await next.ended).toBe(0);
    expect(databaseRuns()).toBe(false);
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
