import { ServiceError } from "../errors.ts";

export type StorageFault = "disk_full" | "read_only" | "denied" | "failed";

/** Writing below FACET_HOME did not work; the message says why and what to do about it. */
export class StorageError extends ServiceError {
  override readonly name = "StorageError";
  readonly fault: StorageFault;
  constructor(fault: StorageFault, message: string, cause?: unknown) {
    super("unavailable", message, cause === undefined ? {} : { cause });
    this.fault = fault;
  }
}

/** A system error of writing below `folder`, in words. Errors of other kinds come back as they are. */
export function storageError(folder: string, cause: unknown): unknown {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new StorageError(
        "disk_full",
        `The disk that holds ${folder} is full; nothing was kept of what was being written. Free some space, or use a folder on a larger disk (the studio's is FACET_HOME), and try again.`,
        cause,
      );
    case "EROFS":
      return new StorageError(
        "read_only",
        `${folder} is on a disk mounted read-only. Mount it for writing, or use another folder (the studio's is FACET_HOME).`,
        cause,
      );
    case "EACCES":
    case "EPERM":
      return new StorageError(
        "denied",
        `This user may not write to ${folder}. Change its owner or permissions, or use another folder (the studio's is FACET_HOME).`,
        cause,
      );
    case "EIO":
    case "EMFILE":
    case "ENFILE":
    case "EEXIST":
    case "ENOTDIR":
    case "ENAMETOOLONG":
    case "ENOENT":
      return new StorageError(
        "failed",
        `Writing to ${folder} failed: ${cause instanceof Error ? cause.message : code}. Check the disk and the folder, and try again.`,
        cause,
      );
    default:
      return cause;
  }
}
