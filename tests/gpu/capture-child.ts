import { openGpu } from "../../gpu/device/node.ts";
import { captureActivations } from "../../server/captures/capture.ts";
import { openModelFolder } from "../../server/models/model-folder.ts";
import { openTokenSet } from "../../server/tokens/token-set.ts";

/** A capture in a process of its own, which ends itself without a word a while after it has come so far. */
export interface CaptureChild {
  model: string;
  tokens: string;
  sets: { hook: string; folder: string }[];
  file_bytes: number;
  /** Tokens after which it is killed, and how long after; null: it ends. */
  kill: { tokens: number; delay_ms: number } | null;
}

const task = JSON.parse(process.argv[2]!) as CaptureChild;
const gpu = await openGpu({ adapter: "software" });
const model = await openModelFolder(task.model);
const tokens = await openTokenSet(task.tokens);
await captureActivations({
  gpu,
  model,
  tokens,
  sets: task.sets,
  dtype: "float16",
  excluded_token_ids: [32],
  outlier_norm: 1.1,
  batch_size: 2,
  model_name: "tiny",
  model_sha256: "0",
  dataset_name: "words",
  signal: new AbortController().signal,
  // Some states lag behind what was written.
  save_every_ms: 2,
  file_bytes: task.file_bytes,
  onProgress: ({ tokens: done }) => {
    if (task.kill === null || done < task.kill.tokens) return;
    setTimeout(() => process.kill(process.pid, "SIGKILL"), task.kill.delay_ms);
    task.kill = null;
  },
});
await tokens.close();
await model.close();
gpu.close();
