import { ServiceError } from "./errors.ts";

/** For what comes with the next commits. */
export function awaiting(what: string): never {
  throw new ServiceError("unavailable", `${what} is not here yet.`);
}
