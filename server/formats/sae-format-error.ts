import { SafetensorsError } from "../../gpu/data/safetensors.ts";
import { FileCutError } from "../artifacts/file-source.ts";
import { ServiceError } from "../errors.ts";

/** A file or folder that cannot be read as an SAE; the message says what is wrong and what to do about it. */
export class SaeFormatError extends ServiceError {
  override readonly name: string = "SaeFormatError";
  constructor(message: string, cause?: unknown) {
    const faults = [{ path: "path", message }];
    super("invalid", message, cause === undefined ? { faults } : { faults, cause });
  }
}

/** There is no SAE of a layout that is known. */
export class NoSaeError extends SaeFormatError {
  override readonly name = "NoSaeError";
}

/** A pickle that names code beyond what rebuilding tensors takes. Nothing of it was run. */
export class UnsafePickleError extends SaeFormatError {
  override readonly name = "UnsafePickleError";
  /** What it names, e.g. `os.system`. */
  readonly global: string;
  constructor(file: string, global: string, cause?: unknown) {
    super(
      `${file} names ${global}, which is not needed to rebuild tensors and may run code, so the file was not read. ` +
        "Take it only from someone you trust, and have them save the plain state_dict of tensors.",
      cause,
    );
    this.global = global;
  }
}

/** An SAE that a format has no words for, or one that may not be written at all; the message says why. */
export class SaeExportError extends ServiceError {
  override readonly name = "SaeExportError";
  constructor(message: string) {
    super("invalid", message);
  }
}

/**
 * What went wrong while `file` was read, as a `SaeFormatError` where the file is to blame: damaged, unreadable, or too
 * large for the memory. Errors of other kinds come back as they are.
 */
export function asFormatError(file: string, error: unknown): unknown {
  if (error instanceof SafetensorsError) {
    return new SaeFormatError(`${file}: ${error.message} Copy or download it again.`, error);
  }
  if (error instanceof FileCutError) return new SaeFormatError(error.message, error);
  if (error instanceof RangeError && /allocation failed|Invalid typed array length/.test(error.message)) {
    return new SaeFormatError(
      `${file} does not fit into this machine's memory. Free some, or read it on a larger machine.`,
      error,
    );
  }
  switch (error instanceof Error && "code" in error ? error.code : undefined) {
    case "ENOENT":
    case "ENOTDIR":
      return new SaeFormatError(`There is no file ${file}. Check the path.`, error);
    case "EACCES":
    case "EPERM":
      return new SaeFormatError(`This user may not read ${file}. Change its owner or permissions.`, error);
    case "ERR_INVALID_ARG_VALUE":
      return new SaeFormatError(`${JSON.stringify(file)} is not a path. Check it.`, error);
    case "EIO":
    case "ELOOP":
    case "ENAMETOOLONG":
      return new SaeFormatError(
        `${file} cannot be read: ${(error as Error).message}. Check the disk.`,
        error,
      );
    default:
      return error;
  }
}
