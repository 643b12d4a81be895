"use client";

import { Popover } from "@base-ui/react/popover";
import { Info } from "lucide-react";
import type { ReactNode } from "react";

export interface Explanation {
  /** What it is, in a sentence or two. */
  help: string;
  formula?: string | undefined;
  /** Where the definition or the default comes from. */
  source?: string | undefined;
  /** Further facts, such as bounds. */
  note?: string | undefined;
}

/** A small "i" that explains a word: on hover, on focus with Enter, and on touch. */
export function InfoTip({ about, explanation }: { about: string; explanation: Explanation }) {
  return (
    <Popover.Root>
      <Popover.Trigger
        openOnHover
        delay={200}
        aria-label={`About ${about}`}
        className="relative inline-flex size-4 shrink-0 items-center justify-center rounded-full text-ink-3 opacity-65 after:absolute after:-inset-1.5 hover:text-ink hover:opacity-100 focus-visible:opacity-100 data-popup-open:text-ink data-popup-open:opacity-100"
      >
        <Info aria-hidden size={12} />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner sideOffset={6} collisionPadding={12} className="z-60">
          <Popover.Popup
            aria-label={about}
            className="max-w-[min(22rem,calc(100vw-1.5rem))] rounded-lg border border-line-strong bg-surface px-3.5 py-3 text-xs shadow-pop outline-none transition-opacity duration-100 data-ending-style:opacity-0 data-starting-style:opacity-0"
          >
            <ExplanationBody explanation={explanation} title={about} />
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}

function ExplanationBody({ explanation, title }: { explanation: Explanation; title: ReactNode }) {
  return (
    <div className="flex flex-col gap-2">
      <p className="font-medium text-ink">{title}</p>
      <p className="text-ink-2">{explanation.help}</p>
      {explanation.formula ? (
        <p className="num rounded-md bg-sunken px-2.5 py-1.5 text-ink">{explanation.formula}</p>
      ) : null}
      {explanation.note ? <p className="text-ink-3">{explanation.note}</p> : null}
      {explanation.source ? <p className="text-ink-3">Source: {explanation.source}</p> : null}
    </div>
  );
}
