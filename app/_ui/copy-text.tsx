"use client";

import { Check, Copy } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { IconButton } from "./button.tsx";
import { classNames } from "./class-names.ts";
import { useToasts } from "./toasts.tsx";

/** A path, a hash or a name in mono, perhaps shortened on screen, copied whole. */
export function CopyText({ text, shown, label }: { text: string; shown?: ReactNode; label: string }) {
  const [copied, setCopied] = useState(false);
  const { fail } = useToasts();
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <span className="inline-flex max-w-full items-center gap-1">
      <code
        className={classNames("num min-w-0 text-xs", shown === undefined && "break-all")}
        title={typeof shown === "string" ? text : undefined}
      >
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
