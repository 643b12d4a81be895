import { initTRPC, TRPCError } from "@trpc/server";
import { ZodError } from "zod";
import { type Fault, ServiceError, type ServiceErrorCode } from "../errors.ts";
import type { Services } from "../services.ts";

export interface ApiContext {
  services: Services;
}

const trpcCodes = {
  not_found: "NOT_FOUND",
  conflict: "CONFLICT",
  invalid: "BAD_REQUEST",
  unauthorized: "UNAUTHORIZED",
  forbidden: "FORBIDDEN",
  too_large: "PAYLOAD_TOO_LARGE",
  unavailable: "SERVICE_UNAVAILABLE",
} as const satisfies Record<ServiceErrorCode, TRPCError["code"]>;

/** The one map from the services' errors to the API's. */
export function toTrpcError(error: ServiceError): TRPCError {
  return new TRPCError({ code: trpcCodes[error.code], message: error.message, cause: error });
}

function faultsOf(cause: unknown): Fault[] {
  if (cause instanceof ServiceError) return cause.faults;
  if (cause instanceof ZodError) {
    return cause.issues.map((issue) => ({ path: issue.path.map(String).join("."), message: issue.message }));
  }
  return [];
}

const t = initTRPC.context<ApiContext>().create({
  sse: {
    ping: { enabled: true, intervalMs: 3_000 },
    client: { reconnectAfterInactivityMs: 8_000 },
  },
  // Messages meant for users pass; of any other error only the fact of it leaves the server.
  errorFormatter({ shape, error }) {
    const { stack: _stack, ...data } = shape.data;
    const internal = error.code === "INTERNAL_SERVER_ERROR";
    return {
      ...shape,
      message: internal
        ? "Something went wrong in the server; its log says what. Try again."
        : error.cause instanceof ZodError
          ? faultsOf(error.cause)
              .map((fault) => (fault.path === "" ? fault.message : `${fault.path}: ${fault.message}`))
              .join(" ")
          : shape.message,
      data: { ...data, faults: faultsOf(error.cause) },
    };
  },
});

export const router = t.router;

export const procedure = t.procedure.use(async ({ next }) => {
  const result = await next();
  if (!result.ok && result.error.cause instanceof ServiceError) throw toTrpcError(result.error.cause);
  return result;
});
