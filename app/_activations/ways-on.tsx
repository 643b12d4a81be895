import { Activity, ScanLine } from "lucide-react";
import Link from "next/link";
import { buttonClass } from "../_ui/button.tsx";

/** From a model that has tokens to what is made of both. */
export function WaysOn({ model, tokenization }: { model: string; tokenization?: string }) {
  const chosen = `model=${model}${tokenization === undefined ? "" : `&tokenization=${tokenization}`}`;
  return (
    <>
      <Link href={`/activations?capture=1&${chosen}`} className={buttonClass("primary")}>
        <ScanLine aria-hidden size={14} />
        Capture activations
      </Link>
      <Link href={`/runs/new?${chosen}`} className={buttonClass()}>
        <Activity aria-hidden size={14} />
        Train live
      </Link>
    </>
  );
}
