import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import {
  blobSource,
  readFloats,
  readSafetensorsHeader,
  safetensorsPieces,
  tensorInfo,
} from "../gpu/data/safetensors.ts";
import { encode } from "../gpu/sae/inference.ts";
import type { Sae } from "../gpu/sae/sae.ts";
import { readSae } from "../server/formats/formats.ts";
import { sampleFiles } from "../server/sample/files.ts";
import { labels } from "../server/sample/grammar/labels.ts";
import { recipe } from "../server/sample/recipe.ts";
import { labelledStream, labelNames } from "../server/sample/token-labels.ts";
import { Encoder } from "../server/sample/tokenizer/encode.ts";
import type { tokenizerFiles } from "../server/sample/tokenizer/files.ts";
import { bestColumn, type Column, type LabelScore } from "./feature-scores.ts";

const help = `node --import tsx bench/sample-features.ts ids --out FILE [--windows N]
node --import tsx bench/sample-features.ts score --activations FILE --sae FOLDER [--windows N]

ids    writes input_ids of the sample text, for facet capture (default: 2000 windows of 128 tokens)
score  prints for each known label of the text the feature that tells it best, and what the features fire on
       (default: the first 800 windows of the activations; features are chosen on one half and measured on the other)
`;

const { n_ctx } = recipe.shape;
const hook = "blocks.2.hook_resid_post";
/** Rows that are encoded together. */
const chunk = 1_024;

async function readJson(name: string): Promise<unknown> {
  return JSON.parse(await readFile(path.join(sampleFiles.model.folder, name), "utf8"));
}

async function openEncoder(): Promise<Encoder> {
  const tokenizer = await readJson("tokenizer.json");
  const config = await readJson("tokenizer_config.json");
  return new Encoder({ tokenizer, config } as ReturnType<typeof tokenizerFiles>);
}

/** The SAE's features as columns of what fires. */
function featureColumns(sae: Sae, rows: Float32Array): Column[] {
  const { d_in, d_sae } = sae.config;
  const columns = Array.from({ length: d_sae }, (): Column => ({ rows: [], values: [] }));
  for (let first = 0; first * d_in < rows.length; first += chunk) {
    const features = encode(sae, rows.subarray(first * d_in, (first + chunk) * d_in));
    features.forEach((value, at) => {
      if (value > 0) add(columns[at % d_sae]!, first + Math.floor(at / d_sae), value);
    });
  }
  return columns;
}

/** The residual's own coordinates, about their means, in both directions: what there is without an SAE. */
function coordinateColumns(rows: Float32Array, width: number): Column[] {
  const n = rows.length / width;
  return Array.from({ length: 2 * width }, (_, index) => {
    const at = index % width;
    let mean = 0;
    for (let row = 0; row < n; row++) mean += rows[row * width + at]! / n;
    const column: Column = { rows: [], values: [] };
    for (let row = 0; row < n; row++) {
      const value = (rows[row * width + at]! - mean) * (index < width ? 1 : -1);
      if (value > 0) add(column, row, value);
    }
    return column;
  });
}

function add(column: Column, row: number, value: number): void {
  column.rows.push(row);
  column.values.push(value);
}

/** What a feature may stand for: each label, and the things of each topic; `needs` are numbers in `labelNames`. */
function meanings(): { meaning: string; needs: number[] }[] {
  const noun = labelNames.indexOf("word.noun");
  return labelNames.flatMap((label, index) => {
    if (label === "word.decided") return [];
    const alone = { meaning: labels[label], needs: [index] };
    if (!label.startsWith("topic.")) return [alone];
    return [
      alone,
      { meaning: `A thing, ${labels[label].replace("A document", "in one")}`, needs: [index, noun] },
    ];
  });
}

async function writeIds(out: string, windows: number): Promise<void> {
  const { ids } = labelledStream(await openEncoder(), recipe.text_seed, windows * n_ctx);
  const tensor = { name: "input_ids", shape: [windows, n_ctx], data: Uint32Array.from(ids) };
  await writeFile(out, Buffer.concat(safetensorsPieces([tensor])));
}

async function score(activations: string, folder: string, windows: number): Promise<void> {
  const encoder = await openEncoder();
  const n = windows * n_ctx;
  const stream = labelledStream(encoder, recipe.text_seed, n);
  const source = blobSource(new Blob([await readFile(activations)]));
  const info = tensorInfo(await readSafetensorsHeader(source), hook);
  const width = info.shape.at(-1)!;
  const rows = await readFloats(source, info, 0, n * width);
  const { sae } = await readSae(folder);
  const features = featureColumns(sae, rows);
  const coordinates = coordinateColumns(rows, width);
  const split = n / 2;
  console.info("| Label | Tokens | Feature | F1 | Precision | Recall | AUC | F1 of a coordinate |");
  console.info("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
  const best = new Map<number, { meaning: string; score: LabelScore }>();
  for (const { meaning, needs } of meanings()) {
    const holds = Uint8Array.from(stream.labels, (of) =>
      needs.every((label) => of.includes(label)) ? 1 : 0,
    );
    const found = bestColumn(features, holds, split);
    const plain = bestColumn(coordinates, holds, split);
    if (found === null) continue;
    const tokens = `${((100 * holds.reduce((sum, one) => sum + one, 0)) / n).toFixed(1)} %`;
    const figures = [found.f1, found.precision, found.recall, found.auc, plain?.f1 ?? 0];
    console.info(
      `| ${meaning} | ${tokens} | ${found.column} | ${figures.map((figure) => figure.toFixed(3)).join(" | ")} |`,
    );
    const before = best.get(found.column);
    if (before === undefined || before.score.f1 < found.f1) best.set(found.column, { meaning, score: found });
  }
  const shown = [...best].sort(([, a], [, b]) => b.score.f1 - a.score.f1).slice(0, 16);
  for (const [column, { meaning, score: found }] of shown) {
    console.info(`\nFeature ${column} (${meaning}, F1 ${found.f1.toFixed(3)})`);
    for (const line of contexts(features[column]!, stream.ids, encoder)) console.info(`    ${line}`);
  }
}

/** Where a feature fires most, from different windows; the token is between ⟦ and ⟧. */
function contexts({ rows, values }: Column, ids: readonly number[], encoder: Encoder): string[] {
  const order = rows.map((_, at) => at).sort((a, b) => values[b]! - values[a]!);
  const used = new Set<number>();
  const lines: string[] = [];
  for (const at of order) {
    const row = rows[at]!;
    const window = Math.floor(row / n_ctx);
    if (used.has(window)) continue;
    used.add(window);
    const start = Math.max(window * n_ctx, row - 14);
    const end = Math.min((window + 1) * n_ctx, row + 6);
    const text = (from: number, to: number) =>
      ids
        .slice(from, to)
        .map((id) => encoder.text(id))
        .join("");
    const line = `${text(start, row)}⟦${text(row, row + 1)}⟧${text(row + 1, end)}`;
    lines.push(`${values[at]!.toFixed(2)}  ${line.replaceAll("\n", "↵")}`);
    if (lines.length === 5) break;
  }
  return lines;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: "string" },
      activations: { type: "string" },
      sae: { type: "string" },
      windows: { type: "string" },
    },
  });
  const windows = values.windows === undefined ? null : Number(values.windows);
  if (positionals[0] === "ids" && values.out !== undefined) return writeIds(values.out, windows ?? 2_000);
  if (positionals[0] === "score" && values.activations !== undefined && values.sae !== undefined) {
    return score(values.activations, values.sae, windows ?? 800);
  }
  console.info(help);
  process.exitCode = 2;
}

await main();
