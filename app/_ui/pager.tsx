"use client";

import { ChevronLeft, ChevronRight } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { IconButton } from "./button.tsx";
import { formatCount } from "./format.ts";
import { inputClass } from "./text-field.tsx";

/** Goes through numbered things a page at a time, or to one by its number, from 0. */
export function Pager({
  what,
  start,
  shown,
  total,
  step,
  onGo,
}: {
  /** One of them, e.g. "document". */
  what: string;
  start: number;
  /** On this page. */
  shown: number;
  total: number;
  /** On a full page. */
  step: number;
  onGo: (start: number) => void;
}) {
  const [typed, setTyped] = useState(String(start));
  useEffect(() => setTyped(String(start)), [start]);
  function go(event: FormEvent) {
    event.preventDefault();
    const wanted = Number(typed.replaceAll(/[\s,_#]/g, ""));
    if (Number.isInteger(wanted) && wanted >= 0) onGo(Math.min(wanted, Math.max(0, total - 1)));
    else setTyped(String(start));
  }
  const last = start + shown - 1;
  return (
    <form onSubmit={go} className="flex items-center gap-1.5 text-xs text-ink-2">
      <IconButton
        label={`Previous ${what}s`}
        disabled={start === 0}
        onClick={() => onGo(Math.max(0, start - step))}
      >
        <ChevronLeft aria-hidden size={15} />
      </IconButton>
      <input
        aria-label={`First ${what} to show`}
        inputMode="numeric"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onBlur={() => setTyped(String(start))}
        className={`${inputClass(false, true)} h-7! w-20! text-right text-xs!`}
      />
      <span className="num whitespace-nowrap">
        {shown > 1 ? `to ${formatCount(last)} ` : ""}of {formatCount(total)}
      </span>
      <IconButton
        label={`Next ${what}s`}
        disabled={start + shown >= total}
        onClick={() => onGo(start + shown)}
      >
        <ChevronRight aria-hidden size={15} />
      </IconButton>
    </form>
  );
}
