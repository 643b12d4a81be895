import path from "node:path";
import { openGpu } from "../../gpu/device/node.ts";
import { setFolder } from "../activations/delete.ts";
import { captureActivations } from "../captures/capture.ts";
import type { CapturedSet } from "../captures/record.ts";
import { modelPath } from "../models/list.ts";
import { readModelManifest } from "../models/manifest.ts";
import { openModelAndTokens } from "../runs/open-live.ts";
import type { CaptureTask, FromTrainer } from "./messages.ts";

/** Progress is said at most so often: batches of a small model take milliseconds. */
const sayMs = 200;

/** Captures a tokenization at hook points into activation sets, from where an earlier attempt was cut. */
export async function capture(
  task: CaptureTask,
  say: (message: FromTrainer) => Promise<void>,
): Promise<void> {
  const { home, adapter, modelId, tokenizationId, sets, dtype, precision, options } = task;
  const manifest = await readModelManifest(path.join(home, modelPath(modelId)));
  const gpu = await openGpu(adapter === null ? {} : { adapter });
  const opened = await openModelAndTokens(home, { model_id: modelId, tokenization_id: tokenizationId });
  try {
    let saidAt = 0;
    const { manifests, tokens_per_second } = await captureActivations({
      gpu,
      model: opened.model,
      tokens: opened.tokens,
      sets: sets.map(({ id, hook_name }) => ({ hook: hook_name, folder: setFolder(home, id) })),
      dtype,
      precision,
      excluded_token_ids: options.excluded_token_ids,
      batch_size: options.batch_size,
      model_name: task.modelName,
      model_sha256: manifest?.sha256 ?? "",
      dataset_name: task.datasetName,
      // The worker ends the process where a capture is canceled.
      signal: new AbortController().signal,
      onProgress: (progress) => {
        const now = performance.now();
        if (now - saidAt < sayMs && progress.tokens < progress.total_tokens) return;
        saidAt = now;
        void say({ type: "capturing", progress });
      },
    });
    const captured = manifests.map(
      ({ n_tokens, held_out_tokens, d_in, bytes, sha256, mean_norm }, index): CapturedSet => ({
        id: sets[index]!.id,
        ...{ n_tokens, held_out_tokens, d_in, bytes, sha256, mean_norm },
        source_dtype: dtype === "float16" ? "F16" : "F32",
      }),
    );
    await say({ type: "captured", sets: captured, tokensPerSecond: tokens_per_second });
  } finally {
    await opened.close();
    gpu.close();
  }
}
