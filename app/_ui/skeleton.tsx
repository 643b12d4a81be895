import { classNames } from "./class-names.ts";

/** Holds the place of what is being loaded, at its size. */
export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={classNames("pulse rounded-md bg-hover", className)} />;
}

/** Rows of a list that is being loaded. */
export function SkeletonRows({ rows = 6 }: { rows?: number }) {
  return (
    <div role="status" className="flex flex-col">
      <span className="sr-only">Loading</span>
      {Array.from({ length: rows }, (_, row) => `row ${row}`).map((key) => (
        <div key={key} className="flex h-14 items-center gap-6 border-b border-line px-4 last:border-b-0">
          <Skeleton className="h-3.5 w-48" />
          <Skeleton className="h-3.5 w-24" />
          <Skeleton className="ml-auto h-3.5 w-32" />
        </div>
      ))}
    </div>
  );
}
