import { openGpu } from "../../gpu/device/node.ts";
import { capture } from "./capture.ts";
import { evaluate } from "./evaluate.ts";
import { evaluateTaskInModel } from "./evaluate-in-model.ts";
import { describeFailure } from "./failure.ts";
import type { FromTrainer, ToTrainer, TrainerControl } from "./messages.ts";
import { train } from "./train.ts";

// The forked process that owns the GPU: it does the one task it is given, says how that went, and ends.

let wanted: TrainerControl["control"] = "continue";

process.on("message", (message: ToTrainer) => {
  if (message.type === "control") wanted = message.control;
  else void perform(message);
});
// The worker is gone, and with it the right to the run: nothing more may be written.
process.on("disconnect", () => process.exit(1));
// Ctrl-C reaches every process of a terminal; the worker decides what becomes of the training.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

async function perform(task: Exclude<ToTrainer, TrainerControl>): Promise<void> {
  try {
    if (task.type === "probe") await probe(task.adapter);
    else if (task.type === "evaluate") await evaluate(task, say);
    else if (task.type === "evaluate_in_model") await evaluateTaskInModel(task, say);
    else if (task.type === "capture") await capture(task, say);
    else await say({ type: "ended", outcome: await train(task, { say, wanted: () => wanted }) });
  } catch (error) {
    console.error(error);
    await say({ type: "failed", ...describeFailure(error) });
  }
  // Dawn may keep a process alive; all that is to be kept is on disk and said.
  process.exit(0);
}

async function probe(adapter: string | null): Promise<void> {
  const gpu = await openGpu(adapter === null ? {} : { adapter });
  const { capabilities, ledger } = gpu;
  gpu.close();
  const memoryBytes = Number.isFinite(ledger.budget) ? ledger.budget : null;
  await say({ type: "probed", capabilities, memoryBytes });
}

/** Resolves when the worker's end of the pipe has taken the message. */
function say(message: FromTrainer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, undefined, {}, (error) => (error === null ? resolve() : reject(error)));
  });
}
