import { parseArgs } from "node:util";
import type { FacetClient } from "../client.ts";
import { exitCode } from "../headless/exit-code.ts";
import { nearest } from "../headless/nearest.ts";
import { localCommands } from "./local-commands.ts";
import { serverCommands } from "./server-commands.ts";
import { UsageError } from "./usage.ts";

/** Where a command writes. */
export interface Output {
  out(line: string): void;
  err(line: string): void;
  /** A person watches: lines may be rewritten in place. */
  terminal: boolean;
  /** Writes over the line that was written so before; "\n" leaves it. Only on a terminal. */
  rewrite?(line: string): void;
}

/** A parsed command line: words, and options in order. */
export interface LocalInvocation {
  output: Output;
  words: string[];
  /** Values of an option, in order; a flag without a value is "". */
  options: ReadonlyMap<string, string[]>;
  json: boolean;
}

/** The same for a server. */
export interface Invocation extends LocalInvocation {
  client: FacetClient;
}

/** Names of options; "any": the command itself, or the server, says which there are. */
export type KnownOptions = readonly string[] | "any";
const flags = ["json", "help", "upload", "watch", "no-shuffle", "train", "estimate"];
const everywhere = ["json", "help"];
const ofServer = ["url", "token"];

/** Runs one command line. Returns the exit code; which there are stands in the usage. */
export async function runCommand(argv: string[], output: Output): Promise<number> {
  let local = false;
  try {
    const { words, options } = split(argv);
    const asked = options.has("help") || words[0] === "help";
    if (asked || words.length === 0) {
      const { helpFor } = await import("../headless/help.ts");
      for (const line of helpFor(words[0] === "help" ? words.slice(1) : words)) output.out(line);
      return asked ? exitCode.done : exitCode.wrong;
    }
    const all = { ...localCommands, ...serverCommands };
    const name = all[words[0]!] === undefined ? words.slice(0, 2).join(" ") : words[0]!;
    const rest = words.slice(name.split(" ").length);
    const json = options.has("json");
    const localCommand = localCommands[name];
    local = localCommand !== undefined;
    if (localCommand !== undefined) {
      const loaded = await localCommand.load();
      check(name, { ...localCommand, ...loaded }, rest, options, everywhere);
      return await loaded.run({ output, words: rest, options, json });
    }
    const command = serverCommands[name];
    if (command === undefined) throw new UsageError(noCommand(name, Object.keys(all)));
    check(name, command, rest, options, [...everywhere, ...ofServer]);
    const [run, { connect }] = await Promise.all([command.load(), import("./connect.ts")]);
    await run({ client: connect(options), output, words: rest, options, json });
    return exitCode.done;
  } catch (error) {
    const { report, reportLocal } = await import("./report.ts");
    return local ? reportLocal(error, output) : report(error, output);
  }
}

function check(
  name: string,
  command: { words: number; options: KnownOptions },
  rest: readonly string[],
  options: Invocation["options"],
  everywhere: readonly string[],
): void {
  if (rest.length !== command.words) {
    throw new UsageError(
      `“${name}” takes ${command.words === 0 ? "nothing" : "one argument"} after it; ${rest.length === 0 ? "none was" : `${rest.length} were`} given.`,
    );
  }
  if (command.options === "any") return;
  const known = [...command.options, ...everywhere];
  const unknown = [...options.keys()].filter((key) => !known.includes(key));
  if (unknown.length === 0) return;
  const named = unknown.map((key) => {
    const near = nearest(key, known);
    return `--${key}${near === null ? "" : ` (did you mean --${near}?)`}`;
  });
  throw new UsageError(`“${name}” has no option ${named.join(", ")}.`);
}

function noCommand(name: string, names: readonly string[]): string {
  const near = nearest(name, names) ?? nearest(name.split(" ")[0]!, names);
  return `There is no command “${name}”${near === null ? "." : `; did you mean “${near}”?`}`;
}

function split(argv: string[]): Pick<Invocation, "words" | "options"> {
  const words: string[] = [];
  const options = new Map<string, string[]>();
  const { tokens } = parseArgs({
    args: argv,
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(flags.map((flag) => [flag, { type: "boolean" as const }])),
  });
  // Without a declaration parseArgs takes `--k 16` for a flag and a word, so options are put together here.
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index]!;
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    let { value } = token;
    if (value === undefined && !flags.includes(token.name)) {
      const next = tokens[index + 1];
      if (next?.kind !== "positional") throw new UsageError(`--${token.name} needs a value.`);
      value = next.value;
      index++;
    }
    options.set(token.name, [...(options.get(token.name) ?? []), value ?? ""]);
  }
  return { words, options };
}
