import type { ActivationSource } from "../../gpu/data/source.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";
import type { HookPointIdentity, RunRecord } from "./run-folder.ts";
import type { GivenMetadata } from "./train-request.ts";
import type { TrainingData } from "./training-data.ts";
import type { GivenWidths } from "./training-options.ts";

/** In which order the rows come. */
export interface RowOrder {
  seed: number;
  shuffle: boolean;
}

/** One of several hook points whose rows stand side by side, for an SAE of its own. */
export interface HookColumns {
  hook: string;
  /** Its place among them. */
  index: number;
  /** First column and number of columns. */
  columns: readonly [number, number];
}

/** What a run trains on, from files or live from a language model; close it. */
export interface TrainingInput {
  readonly widths: GivenWidths;
  /** Hook points that get an SAE each; none where one SAE reads all there is. */
  readonly separate: readonly HookColumns[];
  source(order: RowOrder): ActivationSource;
  /**
   * Reads what must be read to say what it is.
   * @throws NonFiniteActivationsError; the reason of `signal`.
   */
  identify(onRows: (rows: number, of: number) => void, signal: AbortSignal): Promise<HookPointIdentity[]>;
  /** What the SAE's metadata is to say: given names, else those that the data says of itself. */
  metadata(given: GivenMetadata): RunRecord["metadata"];
  close(): Promise<void>;
}

/**
 * Activations from files and sets.
 * @param joint Whether one SAE reads all hook points, as a crosscoder does; else each of several sets gets its own.
 */
export function storedInput(data: TrainingData, joint: boolean): TrainingInput {
  const held_out = data.held_out;
  return {
    widths: data.widths,
    separate: joint ? [] : columnsOf(data),
    source: ({ seed, shuffle }) => new StoredSource(data.rows, { seed, shuffle, held_out }),
    identify: data.identify,
    metadata: (given) => metadataOf(given, data),
    close: data.close,
  };
}

/** None but for several sets, each of a hook point of its own. */
function columnsOf({ inputs, target }: TrainingData): HookColumns[] {
  const hooks = inputs.flatMap(({ set }) => set?.manifest.hook_name ?? []);
  if (target !== null || inputs.length < 2 || new Set(hooks).size < inputs.length) return [];
  let first = 0;
  return inputs.map(({ d_in }, index): HookColumns => {
    first += d_in;
    return { hook: hooks[index]!, index, columns: [first - d_in, d_in] };
  });
}

function metadataOf(given: GivenMetadata, { inputs, target }: TrainingData): RunRecord["metadata"] {
  const names = inputs[0]?.names;
  const hookNames = inputs.map((input) => input.names.hook_name);
  return {
    model_name: given.model_name ?? names?.model_name ?? null,
    hook_name: given.hook_name ?? (hookNames.every((name) => name !== null) ? hookNames.join(",") : null),
    hook_name_out: given.hook_name_out ?? target?.names.hook_name ?? null,
    dataset_name: given.dataset_name ?? names?.dataset_name ?? null,
  };
}
