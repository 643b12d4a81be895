import path from "node:path";
import type { ActivationSource } from "../../gpu/data/source.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";
import { SyntheticSource } from "../../gpu/data/synthetic.ts";
import { openStoredRows } from "../activations/rows.ts";
import { modelPath } from "../models/list.ts";
import { readModelManifest } from "../models/manifest.ts";
import { liveSource, type OpenModelAndTokens, openModelAndTokens } from "../runs/open-live.ts";
import type { RunSource } from "../runs/views.ts";
import type { TrainingTask } from "./messages.ts";

/** What a run trains on, opened. */
export interface RunActivations {
  activations: ActivationSource;
  /** The generator, where the truth behind the activations is known. */
  synthetic: SyntheticSource | null;
  /** Model and tokens, where they come from a model as it runs. */
  live: OpenModelAndTokens | null;
  /** What the SAE's metadata says about the data; plain JSON that is equal for equal data. */
  provenance: unknown;
  close(): Promise<void>;
}

/** @throws ActivationSetError, SyntheticConfigError, ModelFolderError, TokenSetError */
export async function openRunSource({ home, source, config }: TrainingTask): Promise<RunActivations> {
  if (source.kind === "synthetic") {
    const synthetic = new SyntheticSource(source.synthetic);
    return {
      activations: synthetic,
      synthetic,
      live: null,
      provenance: { kind: "synthetic", synthetic: source.synthetic },
      close: () => Promise.resolve(),
    };
  }
  if (source.kind === "live") return openLive(home, source, config.seed);
  const stored = await openStoredRows(home, source.activation_set_ids);
  return {
    activations: new StoredSource(stored.rows, { seed: config.seed, held_out: stored.held_out }),
    synthetic: null,
    live: null,
    provenance: {
      kind: "activation_sets",
      sets: stored.manifests.map(({ sha256, n_tokens, d_in }) => ({ sha256, n_tokens, d_in })),
    },
    close: stored.close,
  };
}

async function openLive(
  home: string,
  source: Extract<RunSource, { kind: "live" }>,
  seed: number,
): Promise<RunActivations> {
  const opened = await openModelAndTokens(home, source);
  try {
    const manifest = await readModelManifest(path.join(home, modelPath(source.model_id)));
    return {
      activations: liveSource(opened, source, seed),
      synthetic: null,
      live: opened,
      provenance: {
        kind: "live",
        model: { sha256: manifest?.sha256 ?? null, model_type: opened.model.spec.model_type },
        tokens: opened.tokens.manifest.hash,
        hooks: source.hooks,
        precision: source.precision,
      },
      close: opened.close,
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}
