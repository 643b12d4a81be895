import { spawn } from "node:child_process";
import path from "node:path";
import { runCommand } from "../../server/cli/commands.ts";

const root = path.resolve(import.meta.dirname, "../..");

export interface Ended {
  code: number;
  out: string;
  err: string;
}

/** Runs a command line in this process. */
export async function facet(...argv: string[]): Promise<Ended> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCommand(argv, {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    terminal: false,
  });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

/** Runs a command line as a process of its own, as the shell would. */
export function facetProcess(...argv: string[]): {
  kill(signal: NodeJS.Signals): void;
  ended: Promise<Ended>;
} {
  const child = spawn(process.execPath, ["--import", "tsx", "server/cli/main.ts", ...argv], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString("utf8");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString("utf8");
  });
  return {
    kill: (signal) => child.kill(signal),
    ended: new Promise((resolve) => child.once("close", (code) => resolve({ code: code ?? -1, out, err }))),
  };
}
