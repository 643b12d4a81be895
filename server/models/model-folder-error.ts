import { ServiceError } from "../errors.ts";
import { asFormatError, SaeFormatError } from "../formats/sae-format-error.ts";

/** A folder that no language model can be run from; the message says what is wrong and what to do about it. */
export class ModelFolderError extends ServiceError {
  override readonly name = "ModelFolderError";
  constructor(message: string, cause?: unknown) {
    super("invalid", message, cause === undefined ? {} : { cause });
  }
}

/** What went wrong while `file` was read, as a `ModelFolderError` where the file is to blame. */
export function asModelError(file: string, error: unknown): unknown {
  const told = asFormatError(file, error);
  return told instanceof SaeFormatError ? new ModelFolderError(told.message, told) : told;
}
