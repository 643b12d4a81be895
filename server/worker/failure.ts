import { BufferTooLargeError, NoAdapterError, OutOfMemoryError } from "../../gpu/device/errors.ts";
import { DeviceFailedError } from "../../gpu/sae/errors.ts";
import type { TrainingFailure } from "./messages.ts";

/** The adapter went away under the training; the state since the last checkpoint is lost. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
}

/** Why a task failed, in words that name the next step; and whether trying again from the checkpoint may help. */
export function describeFailure(error: unknown): TrainingFailure {
  if (error instanceof DeviceLostError || error instanceof DeviceFailedError) {
    return { kind: "lost", reason: error.message };
  }
  if (
    error instanceof OutOfMemoryError ||
    error instanceof BufferTooLargeError ||
    error instanceof NoAdapterError
  ) {
    return { kind: "final", reason: error.message };
  }
  const message = error instanceof Error ? error.message : String(error);
  switch (systemCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return {
        kind: "final",
        reason: `The disk of FACET_HOME is full: ${message}. Free some space, then retry.`,
      };
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return {
        kind: "final",
        reason: `A file in FACET_HOME may not be written or read: ${message}. Give the worker's user the right to, then retry.`,
      };
    case "ENOENT":
      return {
        kind: "final",
        reason: `A file is missing: ${message}. If it belongs to an activation set, import the set again; if another machine shares FACET_HOME, check that it is mounted here.`,
      };
    case "EIO":
      return {
        kind: "final",
        reason: `The disk of FACET_HOME has errors: ${message}. Check it, then retry.`,
      };
    default:
      return { kind: "final", reason: message };
  }
}

function systemCode(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string" && "syscall" in at) return at.code;
  }
  return "";
}
