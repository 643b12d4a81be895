import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NoAdapterError } from "../gpu/device/errors.ts";
import { openGpu } from "../gpu/device/node.ts";
import { parseCase } from "./cases.ts";
import { runInChromium } from "./chromium.ts";
import { figure } from "./columns.ts";
import { describeHost, type Host } from "./host.ts";
import { lmCaseName } from "./lm-cases.ts";
import { hasTorch, type TorchResult, timeTorch } from "./peer-torch.ts";
import { runSuite, type SuiteOptions, type SuiteResult } from "./suite.ts";
import { formatSuite } from "./table.ts";

const help = `npm run bench -- [options]

Measures training and language models' forward passes on this machine: tokens per second over a small grid, the time of
every kernel, and what share of the machine's own measured limits each reaches. Prints tables and writes JSON.

  --browser          in a headless Chromium instead of Node
  --quick            one small case, a few seconds; not for comparing
  --case d,n,k,b[,A] d_in, d_sae, k and batch, and an architecture other than topk, in place of the standard grid; may be
                     repeated
  --only sae|lm      only training, or only language models
  --python PATH      a Python whose torch the language models are set beside, on the CPU (default: python3, if it has torch)
  --adapter NAME     part of an adapter's name, or "software" (default: FACET_ADAPTER, else the best there is)
  --out FILE         where the JSON goes (default: bench/results/<date>-<where>.json)
`;

/** What the JSON file holds. */
export interface BenchReport {
  format: 1;
  date: string;
  host: Host;
  /** "node 20.20.2" or "chromium 156.0.…". */
  runtime: string;
  suite: SuiteResult;
  /** Language models by torch on the CPU; null: there is no torch. */
  torch: TorchResult[] | null;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      browser: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      case: { type: "string", multiple: true },
      only: { type: "string" },
      python: { type: "string" },
      adapter: { type: "string" },
      out: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.info(help);
    return;
  }
  const { only } = values;
  if (only !== undefined && only !== "sae" && only !== "lm") {
    throw new RangeError(`--only is sae or lm, not "${only}".`);
  }
  const options: SuiteOptions = {
    quick: values.quick,
    cases: only === "lm" ? [] : (values.case?.map(parseCase) ?? null),
    // Cases that are named are all that is asked for.
    lm: only === "sae" || (values.case !== undefined && only !== "lm") ? [] : null,
  };
  const adapter = values.adapter ?? process.env.FACET_ADAPTER;
  const date = new Date().toISOString();
  const host = describeHost();
  const log = (line: string) => console.error(line);
  const { runtime, suite } = values.browser
    ? await inBrowser(options, adapter, log)
    : await inNode(options, adapter, log);
  const torch = timedByTorch(values.python, suite, log);
  const report: BenchReport = { format: 1, date, host, runtime, suite, torch };
  console.info(`\nFacet ${host.packages.facet}, ${runtime}, ${host.cpu} × ${host.cores}`);
  if (host.load > 0.5) {
    console.info(
      `The machine's load was ${host.load.toFixed(1)} at the start: other work makes these figures too low.`,
    );
  }
  console.info(formatSuite(suite));
  if (suite.lm.length > 0) console.info(torchLines(torch));
  const out = values.out ?? defaultPath(date, values.browser ? "browser" : "node");
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, `${JSON.stringify(report, null, 2)}\n`);
  console.info(`\n${out}`);
}

/** One result for each shape that was measured; null where there is no torch. @param python must have it where given. */
function timedByTorch(
  python: string | undefined,
  { lm, quick }: SuiteResult,
  log: (line: string) => void,
): TorchResult[] | null {
  if (lm.length === 0) return [];
  if (!hasTorch(python ?? "python3")) {
    if (python !== undefined) throw new Error(`${python} has no torch.`);
    return null;
  }
  const shapes = lm.map((result) => result.case).filter((one) => one.precision === "f32");
  return shapes.map((one) => {
    log(`torch: ${lmCaseName(one)}`);
    return timeTorch(python ?? "python3", one, quick ? 3 : 7);
  });
}

function torchLines(results: readonly TorchResult[] | null): string {
  if (results === null) return "\ntorch: absent.";
  return results
    .map(({ case: name, torch, threads, tokens_per_second: { median, min, max } }) => {
      const rates = `${figure(median)} [${figure(min)} – ${figure(max)}]`;
      return `\ntorch ${torch} on the CPU, ${threads} threads, ${name}: ${rates} tokens/s`;
    })
    .join("");
}

async function inNode(options: SuiteOptions, adapter: string | undefined, log: (line: string) => void) {
  const gpu = await openGpu(adapter === undefined ? {} : { adapter });
  try {
    return { runtime: `node ${process.versions.node}`, suite: await runSuite(gpu, options, log) };
  } finally {
    gpu.close();
  }
}

/** A browser chooses its adapter itself; only the software one can be forced. */
async function inBrowser(options: SuiteOptions, adapter: string | undefined, log: (line: string) => void) {
  if (adapter !== undefined && adapter !== "software") {
    throw new NoAdapterError(`In a browser, --adapter can only be "software", not "${adapter}".`);
  }
  const { version, suite } = await runInChromium({ ...options, software: adapter === "software" }, log);
  return { runtime: `chromium ${version}`, suite };
}

function defaultPath(date: string, where: string): string {
  const folder = fileURLToPath(new URL("results", import.meta.url));
  return join(folder, `${date.replaceAll(/[:.]/g, "-")}-${where}.json`);
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
