import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import type { PostgresBinaries } from "./binaries.ts";
import { EmbeddedDatabaseError } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { livingProcess } from "./process.ts";

/** The server's first process and the loopback port it listens on. */
export interface Postmaster {
  pid: number;
  port: number;
}

/** The server that runs on a data folder, or null. Its pid file alone proves nothing after a crash. */
export function runningPostmaster(data: string): Postmaster | null {
  let lines: string[];
  try {
    lines = fs.readFileSync(path.join(data, "postmaster.pid"), "utf8").split("\n");
  } catch {
    return null;
  }
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  const found = livingProcess(pid);
  // The number may belong to another program by now, or to another folder's server.
  const ours = found?.name === "postgres" && found.command.includes(lines[1] ?? data);
  return ours && port > 0 ? { pid, port } : null;
}

export interface Launch {
  binaries: PostgresBinaries;
  identity: Identity;
  data: string;
  log: string;
  /** Holds the port of the last start. Clients that outlive the server find it there again, if it is still free. */
  portFile: string;
}

/** Starts the server on a free port and returns once it has claimed the data folder. */
export async function launchPostmaster(launch: Launch): Promise<Postmaster> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    fs.rmSync(path.join(launch.data, "postmaster.pid"), { force: true });
    const outcome = await attempt(launch);
    if ("pid" in outcome) return outcome;
    // Someone else took the port, or children of a killed server still hold its shared memory: both pass.
    const passing = /Address already in use|shared memory block|still in use/.test(outcome.said);
    if (!passing || Date.now() > deadline) {
      throw new EmbeddedDatabaseError(
        "start",
        `The embedded PostgreSQL stopped while starting: ${outcome.said || "it said nothing"} (log: ${launch.log}).`,
      );
    }
    await sleep(200);
  }
}

async function attempt(launch: Launch): Promise<Postmaster | { said: string }> {
  const { binaries, identity, data, log } = launch;
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(await choosePort(launch.portFile)),
    // A socket's path may have 107 characters at most; the home folder's may have more.
    unix_socket_directories: "",
    max_connections: "100",
    shared_buffers: "64MB",
  };
  const [command = "", ...words] = [
    ...identity.prefix,
    binaries.postgres,
    "-D",
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
  const output = fs.openSync(log, "a");
  const before = fs.fstatSync(output).size;
  let child: ChildProcess;
  try {
    child = spawn(command, words, { stdio: ["ignore", output, output], detached: true, cwd: data });
  } finally {
    fs.closeSync(output);
  }
  let ended: string | null = null;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended ??= `exit ${signal ?? code}`;
  });
  child.unref();
  for (;;) {
    const at = runningPostmaster(data);
    if (at !== null && at.pid === child.pid) {
      fs.writeFileSync(launch.portFile, String(at.port));
      return at;
    }
    if (ended !== null) return { said: lastWords(log, before) || ended };
    await sleep(10);
  }
}

function lastWords(log: string, from: number): string {
  const text = fs.readFileSync(log).subarray(from).toString("utf8");
  const lines = text.split("\n").filter((line) => /FATAL|ERROR|HINT|could not|error while/.test(line));
  return lines.slice(-3).join(" ").trim();
}

/** Asks for a fast shutdown (SIGINT: sessions are ended, a checkpoint is written) and waits for it. */
export async function stopPostmaster(data: string): Promise<void> {
  const at = runningPostmaster(data);
  if (at === null) return;
  const startedAt = Date.now();
  let asked: NodeJS.Signals | null = null;
  while (runningPostmaster(data)?.pid === at.pid) {
    // A shutdown that hangs is cut off; the log replays at the next start.
    const signal = Date.now() - startedAt > 20_000 ? "SIGQUIT" : "SIGINT";
    if (signal !== asked) process.kill(at.pid, signal);
    asked = signal;
    await sleep(10);
  }
}

async function choosePort(portFile: string): Promise<number> {
  const last = fs.existsSync(portFile) ? Number(fs.readFileSync(portFile, "utf8")) : 0;
  return (last > 0 && last < 65_536 ? await bindable(last) : null) ?? (await bindable(0)) ?? 0;
}

/** The port if it can be listened on, 0 meaning any; null when it is taken. */
function bindable(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = net.createServer().once("error", () => resolve(null));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? (address?.port ?? null) : null));
    });
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
