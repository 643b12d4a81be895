import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import path from "node:path";

export interface ChildOptions {
  /** Names the log file, `logs/<name>.log`. */
  name: string;
  /** What follows `node` on the command line. */
  words: readonly string[];
  home: string;
  env: Record<string, string>;
  onMessage?(message: unknown): void;
}

export interface Child {
  readonly log: string;
  /** Resolves when it has ended; never rejects. */
  readonly ended: Promise<Ending>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it and whatever it started, at once. */
  kill(): void;
}

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const root = path.resolve(import.meta.dirname, "../..");
const withParent = import.meta.resolve("./with-parent.mjs");
const logLimitBytes = 16 * 1024 * 1024;

/**
 * A node process that ends with this one. It is its own process group, so that Ctrl-C on the terminal reaches only
 * the supervisor, which then ends things in order. It writes to its log file itself: a pipe through the supervisor
 * would break under it when that is killed.
 */
export function spawnChild({ name, words, home, env, onMessage }: ChildOptions): Child {
  const log = path.join(home, "logs", `${name}.log`);
  const output = openLog(log);
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, ["--import", withParent, ...words], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", output, output, "ipc"],
      detached: true,
    });
  } finally {
    closeSync(output);
  }
  if (onMessage !== undefined) child.on("message", onMessage);
  const ended = new Promise<Ending>((resolve) => {
    child.once("error", () => resolve({ code: null, signal: null }));
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  return { log, ended, signal: (signal) => child.kill(signal), kill: () => killGroup(child) };
}

/** How a process ended, in words, with the last line of its log. */
export function describeEnding({ code, signal }: Ending, log: string): string {
  const how = signal === null ? `exit status ${code ?? "unknown"}` : signal;
  const last = readFileSync(log, "utf8").trimEnd().split("\n").at(-1)?.trim();
  return `${how}${last ? `: ${last}` : ""} (log: ${log})`;
}

function openLog(file: string): number {
  mkdirSync(path.dirname(file), { recursive: true });
  if (existsSync(file) && statSync(file).size > logLimitBytes) renameSync(file, `${file}.1`);
  return openSync(file, "a");
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    // The group is empty: it has ended already.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
