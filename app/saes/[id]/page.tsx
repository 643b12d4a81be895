import type { Metadata } from "next";
import { SaePage } from "../../_saes/sae-page.tsx";

export const metadata: Metadata = { title: "SAE" };

export default async function Page({ params }: { params: Promise<{ id: string }> }) {
  const { id } = await params;
  return <SaePage key={id} id={id} />;
}
