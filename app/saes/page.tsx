import type { Metadata } from "next";
import { Suspense } from "react";
import { SaeList } from "../_saes/sae-list.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";

export const metadata: Metadata = { title: "SAEs" };

export default function SaesPage() {
  return (
    <Suspense fallback={<SkeletonRows />}>
      <SaeList />
    </Suspense>
  );
}
