"use client";

import { TRPCClientError } from "@trpc/client";
import Link from "next/link";
import { type ReactNode, useEffect } from "react";
import { LoadFailure } from "../_data/load-failure.tsx";
import { buttonClass } from "./button.tsx";
import { EmptyState } from "./panel.tsx";
import { Skeleton } from "./skeleton.tsx";

/** The page of one thing as it is asked for: its place held, the thing itself, or why there is none. */
export function OnePage<T extends { name: string }>({
  what,
  query,
  back,
  missing,
  children,
}: {
  /** E.g. "model". */
  what: string;
  query: { data: T | undefined; isError: boolean; error: unknown; refetch: () => unknown };
  back: { href: string; label: string };
  missing?: string;
  children: (thing: T) => ReactNode;
}) {
  const name = query.data?.name ?? capitalised(what);
  useEffect(() => {
    document.title = `${name} · Facet`;
  }, [name]);
  if (query.data) return children(query.data);
  if (!query.isError) return <PageSkeleton what={what} />;
  return (
    <PageFailure
      what={what}
      error={query.error}
      back={back}
      missing={missing}
      onRetry={() => void query.refetch()}
    />
  );
}

function capitalised(what: string): string {
  return `${what.charAt(0).toUpperCase()}${what.slice(1)}`;
}

function isMissing(error: unknown): boolean {
  return error instanceof TRPCClientError && ["NOT_FOUND", "BAD_REQUEST"].includes(String(error.data?.code));
}

/** What the page of one thing shows when it could not be had: that there is none, or why not. */
export function PageFailure({
  what,
  error,
  back,
  missing = "It may have been deleted.",
  onRetry,
}: {
  what: string;
  error: unknown;
  back: { href: string; label: string };
  /** Why there may be none. */
  missing?: string | undefined;
  onRetry: () => void;
}) {
  return (
    <>
      <h1 className="sr-only">{capitalised(what)}</h1>
      {isMissing(error) ? (
        <EmptyState
          title={`There is no such ${what}`}
          action={
            <Link href={back.href} className={buttonClass("primary")}>
              {back.label}
            </Link>
          }
        >
          {missing}
        </EmptyState>
      ) : (
        <LoadFailure what={`The ${what}`} error={error} onRetry={onRetry} />
      )}
    </>
  );
}

function PageSkeleton({ what }: { what: string }) {
  return (
    <div role="status">
      <span className="sr-only">Loading the {what}</span>
      <Skeleton className="mb-4 h-8 w-80 max-w-full" />
      <Skeleton className="mb-5 h-18" />
      <Skeleton className="h-58" />
    </div>
  );
}
