import type { Metadata } from "next";
import { Suspense } from "react";
import { NewRun } from "../../_runs/new-run.tsx";
import { PageHeader } from "../../_ui/panel.tsx";
import { Skeleton } from "../../_ui/skeleton.tsx";

export const metadata: Metadata = { title: "New run" };

export default function NewRunPage() {
  return (
    <Suspense
      fallback={
        <>
          <PageHeader title="New run" />
          <Skeleton className="h-96" />
        </>
      }
    >
      <NewRun />
    </Suspense>
  );
}
