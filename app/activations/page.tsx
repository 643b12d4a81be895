import type { Metadata } from "next";
import { SetList } from "../_activations/set-list.tsx";

export const metadata: Metadata = { title: "Activations" };

export default function ActivationsPage() {
  return <SetList />;
}
