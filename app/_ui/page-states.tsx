import { TRPCClientError } from "@trpc/client";
import Link from "next/link";
import { LoadFailure } from "../_data/load-failure.tsx";
import { buttonClass } from "./button.tsx";
import { EmptyState } from "./panel.tsx";
import { Skeleton } from "./skeleton.tsx";

function isMissing(error: unknown): boolean {
  return error instanceof TRPCClientError && ["NOT_FOUND", "BAD_REQUEST"].includes(String(error.data?.code));
}

/** What a page of one thing shows when it could not be had: that there is none, or why not. */
export function PageFailure({
  what,
  error,
  back,
  onRetry,
}: {
  /** E.g. "model". */
  what: string;
  error: unknown;
  back: { href: string; label: string };
  onRetry: () => void;
}) {
  return (
    <>
      <h1 className="sr-only">{`${what.charAt(0).toUpperCase()}${what.slice(1)}`}</h1>
      {isMissing(error) ? (
        <EmptyState
          title={`There is no such ${what}`}
          action={
            <Link href={back.href} className={buttonClass("primary")}>
              {back.label}
            </Link>
          }
        >
          It may have been deleted.
        </EmptyState>
      ) : (
        <LoadFailure what={`The ${what}`} error={error} onRetry={onRetry} />
      )}
    </>
  );
}

/** Holds the place of a page that is being loaded. */
export function PageSkeleton({ what }: { what: string }) {
  return (
    <div role="status">
      <span className="sr-only">Loading the {what}</span>
      <Skeleton className="mb-4 h-8 w-80 max-w-full" />
      <Skeleton className="mb-5 h-18" />
      <Skeleton className="h-58" />
    </div>
  );
}
