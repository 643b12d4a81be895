import type { Metadata } from "next";
import { Suspense } from "react";
import { ModelList } from "../_models/model-list.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";

export const metadata: Metadata = { title: "Models" };

export default function ModelsPage() {
  return (
    <Suspense fallback={<SkeletonRows />}>
      <ModelList />
    </Suspense>
  );
}
