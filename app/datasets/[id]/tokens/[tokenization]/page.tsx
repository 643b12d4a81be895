import type { Metadata } from "next";
import { TokenizationPage } from "../../../../_tokenizations/tokenization-page.tsx";

export const metadata: Metadata = { title: "Tokenization" };

export default async function Page({ params }: { params: Promise<{ id: string; tokenization: string }> }) {
  const { id, tokenization } = await params;
  return <TokenizationPage key={tokenization} id={tokenization} datasetId={id} />;
}
