import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { presetNames } from "../gpu/data/presets.ts";
import { openGpu } from "../gpu/device/node.ts";
import { baseArchitectures } from "../gpu/sae/architecture.ts";
import { describeHost } from "./host.ts";
import { peerTables } from "./peer-recovery.ts";
import { recoveryTable } from "./recovery-table.ts";
import { type Override, runOnTruth, type TruthRuns } from "./truth-runs.ts";

const help = `npm run bench:recovery -- [options]

Trains SAEs in one pass over activations whose true features are known, and prints how well they recover them beside what another
library reached on the same problem, as a Markdown table.

  --preset NAME        ${presetNames.join(", ")} (default: toy)
  --architectures A,B  default: all of ${baseArchitectures.join(", ")}
  --seeds 0,1          seeds of training (default: 0,1)
  --tokens N           activations each is trained on (default: the preset's)
  --set KEY=VALUE      option of training over the preset's; may be repeated; ARCHITECTURE.KEY=VALUE for one of them
  --adapter NAME       part of an adapter's name, or "software" (default: FACET_ADAPTER, else the best there is)
  --out FILE           also write the scores as JSON
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      preset: { type: "string", default: "toy" },
      architectures: { type: "string", default: baseArchitectures.join(",") },
      seeds: { type: "string", default: "0,1" },
      tokens: { type: "string" },
      set: { type: "string", multiple: true, default: [] },
      adapter: { type: "string" },
      out: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.info(help);
    return;
  }
  const preset = oneOf(presetNames, values.preset, "--preset");
  const runs: TruthRuns = {
    preset,
    architectures: values.architectures
      .split(",")
      .map((name) => oneOf(baseArchitectures, name, "--architectures")),
    seeds: values.seeds.split(",").map((text) => wholeNumber(text, "--seeds")),
    training_tokens: values.tokens === undefined ? null : wholeNumber(values.tokens, "--tokens"),
    overrides: values.set.map(override),
  };
  const adapter = values.adapter ?? process.env.FACET_ADAPTER;
  const gpu = await openGpu(adapter === undefined ? {} : { adapter });
  try {
    const { scores: own, seconds } = await runOnTruth(gpu, runs, (line) => console.error(line));
    const peers = preset === "sample" ? null : peerTables[preset];
    const host = describeHost();
    console.info(`\n${preset} on ${gpu.capabilities.adapter}, ${host.cpu} × ${host.cores}`);
    for (const { name, value, architecture } of runs.overrides) {
      console.info(
        `with ${architecture === null ? "" : `${architecture}.`}${name} = ${JSON.stringify(value)}`,
      );
    }
    if (peers !== null) console.info(`Peer: ${peers.source}; ${peers.training_tokens} samples.`);
    console.info(`\n${recoveryTable(own, peers?.scores ?? [])}`);
    if (values.out !== undefined) {
      const report = {
        date: new Date().toISOString(),
        host,
        adapter: gpu.capabilities.adapter,
        ...runs,
        seconds,
        scores: own,
      };
      writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`);
    }
  } finally {
    gpu.close();
  }
}

function oneOf<T extends string>(names: readonly T[], given: string, option: string): T {
  const found = names.find((name) => name === given.trim());
  if (found === undefined) throw new Error(`${option}: there is no ${given}; there are ${names.join(", ")}.`);
  return found;
}

function wholeNumber(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${option}: ${text} is not a whole number.`);
}

/** `key=value`, or `architecture.key=value`; values as JSON has them, else as text. */
function override(text: string): Override {
  const match = /^(?:(\w+)\.)?(\w+)=(.*)$/.exec(text);
  if (match === null) throw new Error(`--set takes KEY=VALUE, not ${text}.`);
  const [, architecture, name = "", value = ""] = match;
  return {
    architecture: architecture === undefined ? null : oneOf(baseArchitectures, architecture, "--set"),
    name,
    value: parsed(value),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
