"use client";

import { useEffect, useState } from "react";
import { formatAge, formatDateTime } from "./format.ts";

/** Milliseconds since the epoch, read again every `everyMs`. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** How long ago something was, with the exact time on hover. */
export function RelativeTime({ iso }: { iso: string }) {
  const now = useNow(5_000);
  return (
    <time dateTime={iso} title={formatDateTime(iso)} className="num">
      {formatAge(iso, now)}
    </time>
  );
}

/** The same within a sentence: "12 min ago", "just now". */
export function TimeAgo({ iso }: { iso: string }) {
  const age = formatAge(iso, useNow(5_000));
  return (
    <time dateTime={iso} title={formatDateTime(iso)}>
      {age === "now" ? "just now" : `${age} ago`}
    </time>
  );
}
