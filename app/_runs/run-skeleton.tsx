import { Skeleton } from "../_ui/skeleton.tsx";

/** Holds a run's place while it is being loaded. */
export function RunSkeleton() {
  return (
    <div role="status">
      <span className="sr-only">Loading the run</span>
      <Skeleton className="mb-4 h-8 w-80 max-w-full" />
      <Skeleton className="mb-5 h-8" />
      <Skeleton className="mb-5 h-18" />
      <div className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
        {["one", "two", "three", "four", "five", "six"].map((key) => (
          <Skeleton key={key} className="h-58" />
        ))}
      </div>
    </div>
  );
}
