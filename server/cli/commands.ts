import { parseArgs } from "node:util";
import { TRPCClientError } from "@trpc/client";
import { createFacetClient, type FacetClient, faultsOf } from "../client.ts";
import { EnvironmentError, environment, storedToken } from "../environment.ts";
import { deleteSet, importSet, listSets } from "./activations.ts";
import { controlOne, createOne, deleteOne, listAll, showOne, watchRun } from "./runs.ts";
import { status } from "./status.ts";
import { UsageError, usage } from "./usage.ts";

/** Where a command writes. */
export interface Output {
  out(line: string): void;
  err(line: string): void;
  /** A person watches: lines may be rewritten in place. */
  terminal: boolean;
}

/** A parsed command line: words, options in order, and the client they are for. */
export interface Invocation {
  client: FacetClient;
  output: Output;
  words: string[];
  /** Values of an option, in order; a flag without a value is "". */
  options: ReadonlyMap<string, string[]>;
  json: boolean;
}

type Command = (invocation: Invocation) => Promise<void>;

const commands: Record<string, { words: number; options: readonly string[] | "any"; run: Command }> = {
  "activations import": {
    words: 1,
    options: ["name", "hook-name", "model-name", "dataset-name", "tensor", "upload"],
    run: importSet,
  },
  "activations list": { words: 0, options: ["text"], run: listSets },
  "activations delete": { words: 1, options: [], run: deleteSet },
  "runs list": { words: 0, options: ["status", "text", "model", "dataset", "limit"], run: listAll },
  "runs show": { words: 1, options: [], run: showOne },
  "runs create": { words: 1, options: "any", run: createOne },
  "runs watch": { words: 1, options: [], run: (invocation) => watchRun(invocation, invocation.words[0]!) },
  "runs pause": { words: 1, options: [], run: (invocation) => controlOne(invocation, "pause") },
  "runs resume": { words: 1, options: [], run: (invocation) => controlOne(invocation, "resume") },
  "runs stop": { words: 1, options: [], run: (invocation) => controlOne(invocation, "stop") },
  "runs cancel": { words: 1, options: [], run: (invocation) => controlOne(invocation, "cancel") },
  "runs retry": { words: 1, options: [], run: (invocation) => controlOne(invocation, "retry") },
  "runs delete": { words: 1, options: [], run: deleteOne },
  status: { words: 0, options: [], run: status },
};

const flags = ["json", "help", "upload", "watch"];
const everywhere = ["url", "token", "json", "help"];

/** Runs one command line. Returns the exit code: 0 done, 1 failed, 2 the command line was wrong. */
export async function runCommand(argv: string[], output: Output): Promise<0 | 1 | 2> {
  try {
    const { words, options } = split(argv);
    if (options.has("help") || words.length === 0) {
      output.out(usage);
      return options.has("help") ? 0 : 2;
    }
    const name = commands[words[0]!] === undefined ? words.slice(0, 2).join(" ") : words[0]!;
    const command = commands[name];
    if (command === undefined) throw new UsageError(`There is no command “${name}”.`);
    const rest = words.slice(name.split(" ").length);
    if (rest.length !== command.words) {
      throw new UsageError(
        `“${name}” takes ${command.words === 0 ? "nothing" : "one argument"} after it; ${rest.length === 0 ? "none was" : `${rest.length} were`} given.`,
      );
    }
    if (command.options !== "any") {
      const known = [...command.options, ...everywhere];
      const unknown = [...options.keys()].filter((key) => !known.includes(key));
      if (unknown.length > 0) throw new UsageError(`“${name}” has no option --${unknown.join(", --")}.`);
    }
    await command.run({ client: connect(options), output, words: rest, options, json: options.has("json") });
    return 0;
  } catch (error) {
    return report(error, output);
  }
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

function connect(options: Invocation["options"]): FacetClient {
  const env = environment();
  const url = options.get("url")?.at(-1) ?? `http://127.0.0.1:${env.port}`;
  if (!URL.canParse(url)) throw new UsageError(`--url ${url} is not an address.`);
  const token = options.get("token")?.at(-1) ?? env.token ?? storedToken(env.home);
  return createFacetClient(token === null ? { url } : { url, token });
}

function report(error: unknown, output: Output): 1 | 2 {
  if (error instanceof UsageError) {
    output.err(`${error.message} See npm run facet -- --help`);
    return 2;
  }
  if (error instanceof EnvironmentError) {
    output.err(error.message);
    return 2;
  }
  const faults = faultsOf(error);
  if (faults.length > 0) {
    for (const { path, message } of faults) output.err(path === "" ? message : `${path}: ${message}`);
    return 1;
  }
  output.err(isUnreachable(error) ? unreachable : error instanceof Error ? error.message : String(error));
  return 1;
}

const unreachable =
  "No Facet server answers there. Start one with npm start, or name another with --url or PORT.";

function isUnreachable(error: unknown): boolean {
  const cause = error instanceof TRPCClientError ? error.cause : error;
  return cause instanceof TypeError && cause.message === "fetch failed";
}
