import type { ActivationSource } from "../../gpu/data/source.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";
import { hookNameOf } from "../artifacts/activation-tensor.ts";
import type { Activations } from "./activations.ts";
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

/** Activations from files. */
export function storedInput(data: TrainingData): TrainingInput {
  return {
    widths: data.widths,
    separate: [],
    source: ({ seed, shuffle }) => new StoredSource(data.rows, { seed, shuffle }),
    identify: data.identify,
    metadata: (given) => metadataOf(given, data),
    close: data.close,
  };
}

function metadataOf(given: GivenMetadata, { inputs, target }: TrainingData): RunRecord["metadata"] {
  const input = inputs[0]?.files[0]?.metadata;
  const hookName = (of: Activations | null | undefined) => {
    const file = of?.files[0];
    return file && hookNameOf(file.metadata, file.tensor.info.name);
  };
  const hookNames = inputs.map(hookName);
  return {
    model_name: given.model_name ?? input?.get("model_name") ?? input?.get("model") ?? null,
    hook_name:
      given.hook_name ?? (hookNames.every((name) => name !== undefined) ? hookNames.join(",") : null),
    hook_name_out: given.hook_name_out ?? hookName(target) ?? null,
    dataset_name: given.dataset_name ?? input?.get("dataset_name") ?? input?.get("dataset") ?? null,
  };
}
