import { awaiting } from "../awaiting.ts";
import type { CaptureTask, FromTrainer } from "./messages.ts";

/** Captures a tokenization at hook points into activation sets, from where an earlier attempt was cut. */
export async function capture(
  _task: CaptureTask,
  _say: (message: FromTrainer) => Promise<void>,
): Promise<void> {
  awaiting("Capturing");
}
