"use client";

import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { IconButton } from "./button.tsx";
import { useToasts } from "./toasts.tsx";

/** A path or a hash in mono, shortened on screen, copied whole. */
export function CopyText({ text, shown, label }: { text: string; shown?: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const { fail } = useToasts();
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <span className="inline-flex max-w-full items-center gap-1">
      <code className="num min-w-0 text-xs break-all" title={text}>
        {shown ?? text}
      </code>
      <IconButton
        label={`Copy ${label}`}
        className="size-6"
        onClick={() => {
          navigator.clipboard.writeText(text).then(
            () => setCopied(true),
            (error: unknown) => fail(`The ${label} could not be copied`, error),
          );
        }}
      >
        {copied ? <Check aria-hidden size={13} className="text-ok" /> : <Copy aria-hidden size={13} />}
      </IconButton>
    </span>
  );
}
