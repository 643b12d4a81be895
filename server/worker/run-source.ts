import type { ActivationSource } from "../../gpu/data/source.ts";
import { StoredSource } from "../../gpu/data/stored-rows.ts";
import { SyntheticSource } from "../../gpu/data/synthetic.ts";
import { openStoredRows } from "../activations/rows.ts";
import { awaiting } from "../awaiting.ts";
import type { TrainingTask } from "./messages.ts";

/** What a run trains on, opened. */
export interface RunActivations {
  activations: ActivationSource;
  /** The generator, where the truth behind the activations is known. */
  synthetic: SyntheticSource | null;
  /** What the SAE's metadata says about the data; plain JSON that is equal for equal data. */
  provenance: unknown;
  close(): Promise<void>;
}

/** @throws ActivationSetError, SyntheticConfigError */
export async function openRunSource({ home, source, config }: TrainingTask): Promise<RunActivations> {
  if (source.kind === "synthetic") {
    const synthetic = new SyntheticSource(source.synthetic);
    return {
      activations: synthetic,
      synthetic,
      provenance: { kind: "synthetic", synthetic: source.synthetic },
      close: () => Promise.resolve(),
    };
  }
  if (source.kind === "live") return awaiting("Training live");
  const stored = await openStoredRows(home, source.activation_set_ids);
  return {
    activations: new StoredSource(stored.rows, { seed: config.seed }),
    synthetic: null,
    provenance: {
      kind: "activation_sets",
      sets: stored.manifests.map(({ sha256, n_tokens, d_in }) => ({ sha256, n_tokens, d_in })),
    },
    close: stored.close,
  };
}
