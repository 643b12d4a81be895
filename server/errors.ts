/** One thing wrong with an input, at the path of the field to change (`name`, `config.k`, `source.activation_set_ids.0`). */
export interface Fault {
  path: string;
  message: string;
}

export type ServiceErrorCode =
  | "not_found"
  | "conflict"
  | "invalid"
  | "unauthorized"
  | "forbidden"
  | "too_large"
  | "unavailable";

/** An error whose message is meant for the user: cause and next step, in words. */
export class ServiceError extends Error {
  override readonly name: string = "ServiceError";
  readonly code: ServiceErrorCode;
  readonly faults: Fault[];
  constructor(code: ServiceErrorCode, message: string, options: { faults?: Fault[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.faults = options.faults ?? [];
  }
}

export class NotFoundError extends ServiceError {
  override readonly name = "NotFoundError";
  constructor(
    what:
      | "run"
      | "activation set"
      | "SAE"
      | "evaluation"
      | "model"
      | "dataset"
      | "tokenization"
      | "capture"
      | "document"
      | "sequence",
    id: string,
  ) {
    super("not_found", `There is no ${what} ${id}; it may have been deleted.`);
  }
}

/** What was asked does not fit the state things are in. */
export class ConflictError extends ServiceError {
  override readonly name = "ConflictError";
  constructor(message: string) {
    super("conflict", message);
  }
}

/** Every fault of an input at once; the message joins them. */
export class InvalidInputError extends ServiceError {
  override readonly name = "InvalidInputError";
  constructor(faults: Fault[]) {
    super("invalid", faults.map((fault) => fault.message).join(" "), { faults });
  }
}

/** A path that may not be read, or that is not a readable file. */
export class PathRefusedError extends ServiceError {
  override readonly name = "PathRefusedError";
  constructor(message: string) {
    super("invalid", message, { faults: [{ path: "path", message }] });
  }
}

/** A request without the right token, from a foreign page, or to a foreign host name. */
export class AccessError extends ServiceError {
  override readonly name = "AccessError";
  /** HTTP status; 421 is for a host name that is not ours. */
  readonly status: 401 | 403 | 421;
  constructor(status: 401 | 403 | 421, message: string) {
    super(status === 401 ? "unauthorized" : "forbidden", message);
    this.status = status;
  }
}

/** A worker wrote for an attempt it no longer holds: it must stop and touch nothing more. */
export class LostLeaseError extends ServiceError {
  override readonly name = "LostLeaseError";
  constructor(runId: string, attempt: number) {
    super(
      "conflict",
      `Attempt ${attempt} no longer holds run ${runId}; another worker has taken it or it was ended.`,
    );
  }
}
