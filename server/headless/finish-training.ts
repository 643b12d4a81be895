import type { Evaluation, Trainer } from "../../gpu/sae/trainer.ts";
import { writeSaeFolder } from "../formats/sae-folder.ts";
import type { ModelFigures } from "./model-figures.ts";
import { type RunRecord, saeFolderOf } from "./run-folder.ts";

/** Figures of a finished SAE, in the training space; the firing frequencies stand beside the weights. */
export type Figures = Omit<Evaluation, "feature_frequency"> & {
  /** Within its language model, where it was trained on one. */
  in_model?: ModelFigures;
};

/** Tokens the finished SAE is judged on: enough for rates of rare features, few enough to take seconds. */
function evaluationTokens(trainer: Pick<Trainer, "config">): number {
  return Math.max(16_384, 16 * trainer.config.train_batch_size_tokens);
}

/** Evaluates a trained SAE and writes its folder. */
export async function finishTraining(
  trainer: Pick<Trainer, "config" | "evaluate" | "exportSae">,
  folder: string,
  record: Pick<RunRecord, "metadata" | "data" | "live" | "shuffle" | "facet_version">,
): Promise<Figures> {
  const { feature_frequency, ...figures } = await trainer.evaluate(evaluationTokens(trainer));
  const sae = await trainer.exportSae();
  const config = { ...sae.config, metadata: { ...sae.config.metadata, ...record.metadata } };
  await writeSaeFolder(
    saeFolderOf(folder),
    { ...sae, config },
    {
      feature_frequency,
      runner_cfg: {
        trained_by: "facet",
        facet_version: record.facet_version,
        ...record.metadata,
        source:
          record.live === null
            ? { kind: "activations", shuffle: record.shuffle, hook_points: record.data }
            : { kind: "language_model", hook_points: record.data },
        sae: trainer.config,
      },
    },
  );
  return figures;
}
