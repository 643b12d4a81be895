import type { Metadata } from "next";
import { Suspense } from "react";
import { RunList } from "../_runs/run-list.tsx";
import { PageHeader } from "../_ui/panel.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";

export const metadata: Metadata = { title: "Runs" };

export default function RunsPage() {
  return (
    <Suspense
      fallback={
        <>
          <PageHeader title="Runs" />
          <SkeletonRows />
        </>
      }
    >
      <RunList />
    </Suspense>
  );
}
