import type { Metadata } from "next";
import { Suspense } from "react";
import { DatasetList } from "../_datasets/dataset-list.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";

export const metadata: Metadata = { title: "Datasets" };

export default function DatasetsPage() {
  return (
    <Suspense fallback={<SkeletonRows />}>
      <DatasetList />
    </Suspense>
  );
}
