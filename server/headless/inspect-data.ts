import { readdir, stat } from "node:fs/promises";
import { openActivationSet } from "../artifacts/activation-set.ts";
import { maskFile } from "../artifacts/captured-manifest.ts";
import { bytes, table } from "../cli/format.ts";
import { type DatasetManifest, indexFile, readDatasetManifest } from "../datasets/manifest.ts";
import { ServiceError } from "../errors.ts";
import { manifestFile as modelManifestFile } from "../models/manifest.ts";
import { readTokenSetManifest, spanIndexFile, type TokenSetManifest } from "../tokens/manifest.ts";
import { setsIn } from "./capture-folder.ts";
import { datasetLines } from "./dataset-import.ts";
import { describeModelFolder, type ModelDescription, modelLines } from "./model-inspect.ts";
import { tokenLines } from "./tokenize.ts";

/** One hook point's set within the folder of a capture. */
interface CapturedHook {
  hook_name: string;
  n_tokens: number;
  held_out_tokens: number;
  d_in: number;
  dtype: string;
  bytes: number;
}

/** A folder that training begins from, by its manifests and headers. */
export type DataDescription =
  | { kind: "model"; path: string; model: ModelDescription }
  | { kind: "dataset"; path: string; manifest: DatasetManifest }
  | { kind: "tokens"; path: string; manifest: TokenSetManifest }
  | {
      kind: "capture";
      path: string;
      model_name: string | null;
      dataset_name: string | null;
      sets: CapturedHook[];
      /** Sets that cannot be read, and why. */
      damaged: { name: string; fault: string }[];
      /** Hook points that are not whole yet. */
      unfinished: string[];
    };

/**
 * What a folder holds of a model, a dataset, tokens, or a capture's sets; null for none of these.
 * @throws ModelFolderError, DatasetError, TokenSetError for one that is damaged
 */
export async function describeData(folder: string): Promise<DataDescription | null> {
  const found = await stat(folder).catch(() => null);
  if (!found?.isDirectory()) return null;
  const names = new Set(await readdir(folder));
  if (names.has(indexFile))
    return { kind: "dataset", path: folder, manifest: await readDatasetManifest(folder) };
  if (names.has(spanIndexFile))
    return { kind: "tokens", path: folder, manifest: await readTokenSetManifest(folder) };
  if (isModel(names)) return { kind: "model", path: folder, model: await describeModelFolder(folder) };
  return describeCapture(folder, names);
}

function isModel(names: ReadonlySet<string>): boolean {
  if (names.has(modelManifestFile)) return true;
  return (
    names.has("config.json") && [...names].some((name) => /^model.*\.safetensors(\.index\.json)?$/.test(name))
  );
}

async function describeCapture(folder: string, names: ReadonlySet<string>): Promise<DataDescription | null> {
  const unfinished = [...names].filter((name) => name.endsWith(".capture")).map((name) => name.slice(0, -8));
  const sets: CapturedHook[] = [];
  const damaged: { name: string; fault: string }[] = [];
  let of: { model_name: string | null; dataset_name: string | null } = {
    model_name: null,
    dataset_name: null,
  };
  for (const [name, location] of await setsIn(folder)) {
    if (!(await readdir(location)).includes(maskFile)) continue;
    try {
      const set = await openActivationSet(location);
      await set.close();
      const { manifest } = set;
      of = { model_name: manifest.model_name, dataset_name: manifest.dataset_name };
      sets.push({
        hook_name: name,
        n_tokens: manifest.n_tokens,
        held_out_tokens: set.held_out?.n_rows ?? 0,
        d_in: manifest.d_in,
        dtype: manifest.dtype,
        bytes: manifest.bytes,
      });
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      damaged.push({ name, fault: error.message });
    }
  }
  if (sets.length + damaged.length + unfinished.length === 0) return null;
  return { kind: "capture", path: folder, ...of, sets, damaged, unfinished };
}

const command = (words: string) => `  npm run facet -- ${words}`;

/** The description for a person, and what can be done next. */
export function dataLines(found: DataDescription): string[] {
  const { path: folder } = found;
  switch (found.kind) {
    case "model":
      return [
        ...modelLines(found.model),
        "",
        "Next, tokens for it:",
        command(`tokenize --dataset <dataset> --model ${folder} --out <folder>`),
      ];
    case "dataset":
      return [
        ...datasetLines(found.manifest),
        "",
        "Next, its tokens for a model:",
        command(`tokenize --dataset ${folder} --model <model> --out <folder>`),
      ];
    case "tokens":
      return [
        ...tokenLines(found.manifest),
        "",
        `Next, with ${found.manifest.tokenizer.model} or a model of the same tokenizer, to train at once or to keep activations:`,
        command(`train --model <model> --tokens ${folder} --hooks <hook point> --out <folder> --d_sae <n>`),
        command(`capture --model <model> --tokens ${folder} --hooks <hook point> --out <folder>`),
      ];
    case "capture":
      return captureLines(found);
  }
}

function captureLines(found: Extract<DataDescription, { kind: "capture" }>): string[] {
  const { path: folder, sets, damaged, unfinished } = found;
  const number = (count: number) => count.toLocaleString("en");
  const [first] = sets;
  return [
    `Captured activations${first === undefined ? "" : ` of ${found.model_name} on ${found.dataset_name}`}`,
    ...(first === undefined
      ? []
      : table(
          ["hook point", "width", "rows to train on", "held out", "dtype", "size"],
          sets.map((set) => [
            set.hook_name,
            String(set.d_in),
            number(set.n_tokens),
            number(set.held_out_tokens),
            set.dtype,
            bytes(set.bytes),
          ]),
        )),
    ...damaged.map(({ name, fault }) => `  ${name}: ${fault}`),
    ...(unfinished.length === 0
      ? []
      : [`Not whole yet: ${unfinished.join(", ")}. The command that began it goes on with it.`]),
    ...(first === undefined
      ? []
      : [
          "",
          `Next, an SAE for each of the hook points that are named:`,
          command(`train --activations ${folder} --hooks ${first.hook_name} --out <folder> --d_sae <n>`),
        ]),
  ];
}
