import { createHash } from "node:crypto";
import { LiveSource } from "../../gpu/data/live-source.ts";
import { requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import { type Fault, InvalidInputError, ServiceError } from "../errors.ts";
import { requireWeights } from "../models/import-weights.ts";
import { type ModelFolder, openModelFolder } from "../models/model-folder.ts";
import { modelHash } from "../models/model-hash.ts";
import { openTokenSet, type TokenSet } from "../tokens/token-set.ts";
import { hookFault } from "./hook-names.ts";
import type { HookPointIdentity } from "./run-folder.ts";
import type { GivenMetadata } from "./train-request.ts";
import type { HookColumns, TrainingInput } from "./training-input.ts";

/** A language model and what it reads, in place of stored activations. */
export interface LiveLocations {
  /** Folder of the model. */
  model: string;
  /** Folder of a token set. */
  tokens: string;
  hooks: readonly string[];
  /** What a transcoder predicts. */
  target_hook: string | null;
}

/** The same, open. */
export interface LiveInput extends TrainingInput {
  readonly model: ModelFolder;
  readonly tokens: TokenSet;
  readonly hooks: readonly string[];
  readonly target_hook: string | null;
}

/**
 * Opens a model and a token set to train on what the model computes.
 * @param joint Whether one SAE reads all hook points, as a crosscoder does; else each gets its own.
 * @throws InvalidInputError with every fault, at the option that has it
 */
export async function openLiveInput(locations: LiveLocations, joint: boolean): Promise<LiveInput> {
  const faults: Fault[] = [];
  const told = async <T>(option: string, opening: Promise<T>): Promise<T | null> => {
    try {
      return await opening;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      faults.push({ path: option, message: error.message });
      return null;
    }
  };
  const model = await told("--model", openWholeModel(locations.model));
  const tokens = await told("--tokens", openTokenSet(locations.tokens));
  const close = async () => {
    await model?.close();
    await tokens?.close();
  };
  try {
    if (model !== null && tokens !== null) faults.push(...misfits(model, tokens));
    if (model !== null) faults.push(...hookFaults(model.spec, locations));
    if (faults.length > 0 || model === null || tokens === null) throw new InvalidInputError(faults);
    return inputOf(locations, joint, model, tokens, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Opens a model that is run to its end, to be measured, and not only to a hook point.
 * @throws ModelFolderError
 */
export async function openWholeModel(folder: string): Promise<ModelFolder> {
  const model = await openModelFolder(folder);
  try {
    requireWeights(model.name, model.spec, model.weights);
    return model;
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** Why a model cannot be run on a token set. */
export function misfits({ spec, tokenizer_sha256 }: ModelFolder, { manifest, length }: TokenSet): Fault[] {
  if (length > spec.n_ctx) {
    const message = `Its sequences have ${length} tokens, but the model takes at most ${spec.n_ctx}. Tokenize again with --context-size ${spec.n_ctx} or less.`;
    return [{ path: "--tokens", message }];
  }
  if (manifest.tokenizer.vocab_size > spec.d_vocab) {
    const message = `It was made with a tokenizer of ${manifest.tokenizer.vocab_size} tokens, but the model has ${spec.d_vocab}. Tokenize the dataset with this model's own tokenizer.`;
    return [{ path: "--tokens", message }];
  }
  if (tokenizer_sha256 !== null && tokenizer_sha256 !== manifest.tokenizer.sha256) {
    const message = `It was made with another tokenizer, that of ${manifest.tokenizer.model}, whose ids may mean other words to this model. Tokenize the dataset with this model's own tokenizer.`;
    return [{ path: "--tokens", message }];
  }
  return [];
}

function hookFaults(spec: ModelSpec, { hooks, target_hook }: LiveLocations): Fault[] {
  const named = [
    ...hooks.map((name) => ({ option: "--hooks", name })),
    ...(target_hook === null ? [] : [{ option: "--target-hook", name: target_hook }]),
  ];
  const unknown = named.flatMap(({ option, name }): Fault[] => {
    try {
      requireHookPoint(spec, name);
      return [];
    } catch (error) {
      if (!(error instanceof UnknownHookError)) throw error;
      return [{ path: option, message: hookFault(spec, error) }];
    }
  });
  if (target_hook === null || hooks.length < 2) return unknown;
  const message = `A transcoder reads one hook point, and ${hooks.length} are named. Train one for each, in runs of their own.`;
  return [...unknown, { path: "--hooks", message }];
}

function inputOf(
  locations: LiveLocations,
  joint: boolean,
  model: ModelFolder,
  tokens: TokenSet,
  close: () => Promise<void>,
): LiveInput {
  const { hooks, target_hook } = locations;
  const { spec, weights } = model;
  const width = (name: string) => requireHookPoint(spec, name).width;
  const all = [...hooks, ...(target_hook === null ? [] : [target_hook])];
  let first = 0;
  const columns = hooks.map((hook, index): HookColumns => {
    const count = width(hook);
    first += count;
    return { hook, index, columns: [first - count, count] };
  });
  return {
    model,
    tokens,
    hooks,
    target_hook,
    widths: { inputs: hooks.map(width), target: target_hook === null ? null : width(target_hook) },
    separate: joint || hooks.length === 1 ? [] : columns,
    source: ({ seed }) =>
      new LiveSource({
        spec,
        weights,
        tokens,
        hooks: all,
        seed,
        held_out_sequences: tokens.manifest.held_out_sequences,
      }),
    identify: (_, signal) => identify(all, locations, model, tokens, signal),
    metadata: (given) => metadataOf(given, locations, model, tokens),
    close,
  };
}

async function identify(
  hooks: readonly string[],
  { model: folder, target_hook }: LiveLocations,
  { spec }: ModelFolder,
  { manifest }: TokenSet,
  signal: AbortSignal,
): Promise<HookPointIdentity[]> {
  const weights = await modelHash(folder, signal);
  return hooks.map((hook, at): HookPointIdentity => {
    const role = target_hook !== null && at === hooks.length - 1 ? "targets" : "activations";
    const { width } = requireHookPoint(spec, hook);
    const sha256 = createHash("sha256").update(`${weights}\n${manifest.hash}\n${hook}`).digest("hex");
    return { role, files: [{ name: hook, n_tokens: manifest.n_text_tokens, width, dtype: "live", sha256 }] };
  });
}

function metadataOf(
  given: GivenMetadata,
  { hooks, target_hook }: LiveLocations,
  model: ModelFolder,
  { manifest }: TokenSet,
) {
  return {
    model_name: given.model_name ?? model.name,
    hook_name: given.hook_name ?? hooks.join(","),
    hook_name_out: given.hook_name_out ?? target_hook,
    dataset_name: given.dataset_name ?? manifest.dataset.name,
  };
}
