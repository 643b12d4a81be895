import { ServiceError } from "../errors.ts";
import { asFormatError, SaeFormatError } from "../formats/sae-format-error.ts";

/** A file, folder or repository that no dataset can be made of or read from; the message says what is wrong and where. */
export class DatasetError extends ServiceError {
  override readonly name = "DatasetError";
  constructor(message: string, cause?: unknown) {
    super("invalid", message, cause === undefined ? {} : { cause });
  }
}

/** What went wrong while `file` was read, as a `DatasetError` where the file is to blame. */
export function asDatasetError(file: string, error: unknown): unknown {
  const told = asFormatError(file, error);
  return told instanceof SaeFormatError ? new DatasetError(told.message, told) : told;
}
