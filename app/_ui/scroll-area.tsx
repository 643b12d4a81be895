"use client";

import { ScrollArea } from "@base-ui/react/scroll-area";
import type { ReactNode } from "react";
import { classNames } from "./class-names.ts";

/** A box whose content scrolls inside it, by keyboard too. `className` bounds its size. */
export function ScrollBox({
  label,
  children,
  className,
}: {
  label: string;
  children: ReactNode;
  className?: string;
}) {
  return (
    <ScrollArea.Root className="relative min-w-0">
      <ScrollArea.Viewport
        role="region"
        aria-label={label}
        tabIndex={0}
        className={classNames("overscroll-contain focus-visible:-outline-offset-2", className)}
      >
        {children}
      </ScrollArea.Viewport>
      <ScrollArea.Scrollbar className="m-0.5 flex w-1.5 justify-center opacity-0 transition-opacity data-hovering:opacity-100 data-scrolling:opacity-100">
        <ScrollArea.Thumb className="w-full rounded-full bg-line-strong" />
      </ScrollArea.Scrollbar>
      <ScrollArea.Scrollbar
        orientation="horizontal"
        className="m-0.5 flex h-1.5 items-center opacity-0 transition-opacity data-hovering:opacity-100 data-scrolling:opacity-100"
      >
        <ScrollArea.Thumb className="h-full rounded-full bg-line-strong" />
      </ScrollArea.Scrollbar>
    </ScrollArea.Root>
  );
}
