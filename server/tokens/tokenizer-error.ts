import { ServiceError } from "../errors.ts";
import { asFormatError, SaeFormatError } from "../formats/sae-format-error.ts";

/** A tokenizer that cannot be used, or does not fit its model; the message says why and what to do about it. */
export class TokenizerError extends ServiceError {
  override readonly name = "TokenizerError";
  constructor(message: string, cause?: unknown) {
    super("invalid", message, cause === undefined ? {} : { cause });
  }
}

/** A folder of tokens that is damaged, or none. */
export class TokenSetError extends ServiceError {
  override readonly name = "TokenSetError";
  constructor(message: string, cause?: unknown) {
    super("invalid", message, cause === undefined ? {} : { cause });
  }
}

/** What went wrong while `file` was read, as a `TokenizerError` where the file is to blame. */
export function asTokenizerError(file: string, error: unknown): unknown {
  const told = asFormatError(file, error);
  return told instanceof SaeFormatError ? new TokenizerError(told.message, told) : told;
}

/** The same as a `TokenSetError`. */
export function asTokenSetError(file: string, error: unknown): unknown {
  const told = asFormatError(file, error);
  return told instanceof SaeFormatError ? new TokenSetError(told.message, told) : told;
}
