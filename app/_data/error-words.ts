import { TRPCClientError } from "@trpc/client";

/** What went wrong, for a person. The server's errors are sentences already; a browser's "Failed to fetch" is not. */
export function errorWords(error: unknown): string {
  if (error instanceof TRPCClientError && !error.data && error.cause instanceof TypeError) {
    return "The server does not answer. Check that Facet still runs where it was started.";
  }
  return error instanceof Error ? error.message : String(error);
}
