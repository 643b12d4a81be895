import { ServiceError, type ServiceErrorCode } from "../errors.ts";

/** What kept the hub from giving what was asked for. */
export type HubFault =
  /** A name, revision or path that no repository can have. */
  | "bad_name"
  /** Its terms are to be accepted first. */
  | "gated"
  /** Private, or the token is not taken. */
  | "denied"
  | "not_found"
  /** A redirect to a host that is not on the list. */
  | "redirected"
  /** An answer that does not fit what was asked, or what the hub said before. */
  | "bad_answer"
  /** The bytes have another hash than the hub states. */
  | "damaged"
  | "too_large"
  /** Busy, broken or out of reach, also after several tries. */
  | "unavailable";

const codes: Record<HubFault, ServiceErrorCode> = {
  bad_name: "invalid",
  gated: "forbidden",
  denied: "unauthorized",
  not_found: "not_found",
  redirected: "forbidden",
  bad_answer: "unavailable",
  damaged: "unavailable",
  too_large: "too_large",
  unavailable: "unavailable",
};

/** The hub did not give what was asked for; the message says why and what to do about it, and holds no secret. */
export class HubError extends ServiceError {
  override readonly name = "HubError";
  readonly fault: HubFault;
  constructor(fault: HubFault, message: string, cause?: unknown) {
    super(codes[fault], message, cause === undefined ? {} : { cause });
    this.fault = fault;
  }
}
