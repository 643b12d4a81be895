import type { Metadata } from "next";
import { Suspense } from "react";
import { SetList } from "../_activations/set-list.tsx";
import { PageHeader } from "../_ui/panel.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";

export const metadata: Metadata = { title: "Activations" };

export default function ActivationsPage() {
  return (
    <Suspense
      fallback={
        <>
          <PageHeader title="Activations" />
          <SkeletonRows rows={3} />
        </>
      }
    >
      <SetList />
    </Suspense>
  );
}
