import path from "node:path";
import { LiveSource } from "../../gpu/data/live-source.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import { modelPath } from "../models/list.ts";
import { type ModelFolder, openModelFolder } from "../models/model-folder.ts";
import { tokenizationPath } from "../tokens/list.ts";
import { openTokenSet, type TokenSet } from "../tokens/token-set.ts";

/** A model and the tokens it reads, open for reading. */
export interface OpenModelAndTokens {
  model: ModelFolder;
  tokens: TokenSet;
  close(): Promise<void>;
}

/** Throws `ModelFolderError`, `TokenSetError`; nothing stays open then. */
export async function openModelAndTokens(
  home: string,
  ids: { model_id: string; tokenization_id: string },
): Promise<OpenModelAndTokens> {
  const model = await openModelFolder(path.join(home, modelPath(ids.model_id)));
  try {
    const tokens = await openTokenSet(path.join(home, tokenizationPath(ids.tokenization_id)));
    return {
      model,
      tokens,
      async close() {
        await tokens.close();
        await model.close();
      },
    };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** What a live run trains on; the held-out sequences are its evaluation's. */
export function liveSource(
  { model, tokens }: OpenModelAndTokens,
  { hooks, precision }: { hooks: readonly string[]; precision: Precision },
  seed: number,
): LiveSource {
  return new LiveSource({
    spec: model.spec,
    weights: model.weights,
    tokens,
    hooks,
    precision,
    seed,
    held_out_sequences: tokens.manifest.held_out_sequences,
  });
}
