import { parseArgs } from "node:util";
import { TRPCClientError } from "@trpc/client";
import { DivergedError, StateMismatchError } from "../../gpu/sae/errors.ts";
import { createFacetClient, type FacetClient, faultsOf } from "../client.ts";
import { EnvironmentError, environment, storedToken } from "../environment.ts";
import { InvalidInputError, ServiceError } from "../errors.ts";
import { capture } from "../headless/capture.ts";
import { captureOptions } from "../headless/capture-request.ts";
import { exportTo, importFrom } from "../headless/convert.ts";
import { datasetImportOptions, importDatasetTo } from "../headless/dataset-import.ts";
import { datasetShowOptions, showDataset } from "../headless/dataset-show.ts";
import { evalOptions, evaluate } from "../headless/eval.ts";
import { exitCode, InterruptedError } from "../headless/exit-code.ts";
import { generateText } from "../headless/generate.ts";
import { generateOptions } from "../headless/generate-request.ts";
import { helpFor } from "../headless/help.ts";
import { inspect } from "../headless/inspect.ts";
import { importModelTo, modelImportOptions } from "../headless/model-import.ts";
import { inspectModel } from "../headless/model-inspect.ts";
import { modelPreviewOptions, previewModelOf } from "../headless/model-preview.ts";
import { nearest } from "../headless/nearest.ts";
import { synth } from "../headless/synth.ts";
import { tokenize, tokenizeOptions } from "../headless/tokenize.ts";
import { train } from "../headless/train.ts";
import { deleteSet, importSet, listSets } from "./activations.ts";
import { cancelCapture, createCapture, deleteCapture, listCaptures, watchCapture } from "./captures.ts";
import { deleteDataset, importDataset, listDatasets, showStoredDataset } from "./datasets.ts";
import { deleteModel, importModel, listModels, showModel } from "./models.ts";
import { controlOne, createOne, deleteOne, listAll, showOne, watchRun } from "./runs.ts";
import { deleteSae, downloadSae, evaluateSae, importSae, listSaes, showSae } from "./saes.ts";
import { status } from "./status.ts";
import { createTokenization, deleteTokenization, listTokenizations } from "./tokenizations.ts";
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

interface Command<T, Result> {
  /** Words after the command's name. */
  words: number;
  /** "any": the command itself, or the server, says which there are. */
  options: readonly string[] | "any";
  run(invocation: T): Promise<Result>;
}

/** Commands that work on this machine's files and GPU, and ask no server. They return the exit code. */
const localCommands: Record<string, Command<LocalInvocation, number>> = {
  train: { words: 0, options: "any", run: train },
  eval: { words: 0, options: evalOptions, run: evaluate },
  inspect: { words: 1, options: [], run: inspect },
  export: { words: 0, options: ["sae", "format", "out"], run: exportTo },
  import: { words: 1, options: ["out"], run: importFrom },
  synth: { words: 0, options: "any", run: synth },
  capture: { words: 0, options: captureOptions, run: capture },
  "model inspect": { words: 1, options: [], run: inspectModel },
  "dataset import": { words: 1, options: datasetImportOptions, run: importDatasetTo },
  "dataset show": { words: 1, options: datasetShowOptions, run: showDataset },
  tokenize: { words: 0, options: tokenizeOptions, run: tokenize },
  "model preview": { words: 1, options: modelPreviewOptions, run: previewModelOf },
  "model import": { words: 1, options: modelImportOptions, run: importModelTo },
  "model generate": { words: 0, options: generateOptions, run: generateText },
};

const serverCommands: Record<string, Command<Invocation, void>> = {
  "models import": { words: 1, options: ["name", "revision"], run: importModel },
  "models list": { words: 0, options: ["text"], run: listModels },
  "models show": { words: 1, options: [], run: showModel },
  "models delete": { words: 1, options: [], run: deleteModel },
  "tokenizations list": { words: 0, options: ["text", "dataset", "model"], run: listTokenizations },
  "tokenizations create": {
    words: 0,
    options: [
      ...["dataset", "model", "name"],
      ...["context-size", "bos", "separator", "remainder", "held-out"],
    ],
    run: createTokenization,
  },
  "tokenizations delete": { words: 1, options: [], run: deleteTokenization },
  "captures list": { words: 0, options: ["text"], run: listCaptures },
  "captures create": {
    words: 0,
    options: [
      ...["model", "tokenization", "hooks", "name", "dtype", "precision"],
      ...["exclude-token", "batch-size", "watch"],
    ],
    run: createCapture,
  },
  "captures watch": { words: 1, options: [], run: watchCapture },
  "captures cancel": { words: 1, options: [], run: cancelCapture },
  "captures delete": { words: 1, options: [], run: deleteCapture },
  "activations import": {
    words: 1,
    options: ["name", "hook-name", "model-name", "dataset-name", "tensor", "upload"],
    run: importSet,
  },
  "activations list": { words: 0, options: ["text"], run: listSets },
  "activations delete": { words: 1, options: [], run: deleteSet },
  "datasets import": {
    words: 1,
    options: [
      ...["name", "text-column", "split-on", "separator", "limit-documents", "limit-characters", "upload"],
      ...["revision", "config", "split"],
    ],
    run: importDataset,
  },
  "datasets list": { words: 0, options: ["text"], run: listDatasets },
  "datasets show": { words: 1, options: [], run: showStoredDataset },
  "datasets delete": { words: 1, options: [], run: deleteDataset },
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
  "saes list": { words: 0, options: ["text", "kind"], run: listSaes },
  "saes show": { words: 1, options: [], run: showSae },
  "saes import": { words: 1, options: ["name"], run: importSae },
  "saes download": { words: 1, options: ["format", "out"], run: downloadSae },
  "saes evaluate": {
    words: 1,
    options: ["set", "tokens", "model", "tokenization", "hook-name", "sequences", "precision"],
    run: evaluateSae,
  },
  "saes delete": { words: 1, options: [], run: deleteSae },
  status: { words: 0, options: [], run: status },
};

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
      check(name, localCommand, rest, options, everywhere);
      return await localCommand.run({ output, words: rest, options, json });
    }
    const command = serverCommands[name];
    if (command === undefined) throw new UsageError(noCommand(name, Object.keys(all)));
    check(name, command, rest, options, [...everywhere, ...ofServer]);
    await command.run({ client: connect(options), output, words: rest, options, json });
    return exitCode.done;
  } catch (error) {
    return local ? reportLocal(error, output) : report(error, output);
  }
}

function check(
  name: string,
  command: Pick<Command<never, unknown>, "words" | "options">,
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

function connect(options: Invocation["options"]): FacetClient {
  const env = environment();
  const url = options.get("url")?.at(-1) ?? `http://127.0.0.1:${env.port}`;
  if (!URL.canParse(url)) throw new UsageError(`--url ${url} is not an address.`);
  const token = options.get("token")?.at(-1) ?? env.token ?? storedToken(env.home);
  return createFacetClient(token === null ? { url } : { url, token });
}

/** Of a command without a server: what is wrong with the input is told apart from what failed. */
function reportLocal(error: unknown, output: Output): number {
  if (error instanceof InvalidInputError) {
    for (const { path, message } of error.faults) output.err(`${path}: ${message}`);
    return exitCode.wrong;
  }
  if (error instanceof UsageError || error instanceof EnvironmentError) return report(error, output);
  output.err(error instanceof Error ? error.message : String(error));
  if (error instanceof InterruptedError) return error.exitCode;
  if (error instanceof DivergedError) return exitCode.diverged;
  const input = error instanceof ServiceError && (error.code === "invalid" || error.code === "conflict");
  return input || error instanceof StateMismatchError ? exitCode.wrong : exitCode.failed;
}

function report(error: unknown, output: Output): number {
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
