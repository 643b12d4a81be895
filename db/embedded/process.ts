import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

/** A living process; `started` tells two processes with the same number apart where the system says it. */
export interface LivingProcess {
  name: string;
  command: string;
  started: string;
}

/**
 * What runs under `pid`, or null. A zombie counts as gone: in containers whose first process reaps nobody, a
 * killed process stays in the table for good.
 */
export function livingProcess(pid: number): LivingProcess | null {
  if (!Number.isInteger(pid) || pid <= 0) return null;
  if (process.platform !== "linux") return fromProcessTable(pid);
  let stat: string;
  let command: string;
  try {
    stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return null;
  }
  // "pid (name) state …": the name may hold spaces and brackets, so the fields are counted from the last bracket.
  const close = stat.lastIndexOf(")");
  const fields = stat.slice(close + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return null;
  return { name: stat.slice(stat.indexOf("(") + 1, close), command, started: fields[19] ?? "" };
}

function fromProcessTable(pid: number): LivingProcess | null {
  const listed = spawnSync("ps", ["-ww", "-o", "stat=,lstart=,command=", "-p", String(pid)], {
    encoding: "utf8",
  });
  const match = /^(\S+)\s+((?:\S+\s+){4}\S+)\s+(\S+)(.*)$/.exec((listed.stdout ?? "").trim());
  if (match === null) return null;
  const [, state = "", started = "", program = "", words = ""] = match;
  if (state.startsWith("Z")) return null;
  return { name: path.basename(program), command: program + words, started };
}
