"use client";

import { useRouter } from "next/navigation";
import { useEffect, useRef, useState } from "react";
import { Modal } from "../_ui/dialog.tsx";
import { destinations } from "./destinations.ts";

const chordTimeoutMs = 1_200;

/** Whether a key press belongs to what is being typed into, or to a browser shortcut. */
function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
}

function Keys({ keys }: { keys: readonly string[] }) {
  return (
    <span className="flex gap-1">
      {keys.map((key) => (
        <kbd
          key={key}
          className="num inline-flex h-6 min-w-6 items-center justify-center rounded-md border border-line-strong bg-sunken px-1.5 text-xs"
        >
          {key}
        </kbd>
      ))}
    </span>
  );
}

/** Listens to the keys that work on every page, and shows them on `?`. */
export function Shortcuts({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const router = useRouter();
  const chordUntil = useRef(0);

  useEffect(() => {
    function onKeyDown(event: KeyboardEvent) {
      if (isTyping(event)) return;
      const inChord = performance.now() < chordUntil.current;
      chordUntil.current = 0;
      if (inChord) {
        const href =
          event.key === "n" ? "/runs/new" : destinations.find(({ key }) => key === event.key)?.href;
        if (!href) return;
        event.preventDefault();
        router.push(href);
        return;
      }
      if (event.key === "g") {
        chordUntil.current = performance.now() + chordTimeoutMs;
      } else if (event.key === "?") {
        event.preventDefault();
        onOpenChange(true);
      } else if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>("input[data-search]");
        if (!search) return;
        event.preventDefault();
        search.focus();
        search.select();
      }
    }
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [router, onOpenChange]);

  const rows: { keys: readonly string[]; what: string }[] = [
    ...destinations.map(({ key, label }) => ({ keys: ["g", key], what: label })),
    { keys: ["g", "n"], what: "New run" },
    { keys: ["/"], what: "Search this list" },
    { keys: ["?"], what: "This help" },
    { keys: ["Esc"], what: "Close a dialog" },
  ];
  return (
    <Modal open={open} onOpenChange={onOpenChange} title="Keyboard">
      <ul className="flex flex-col">
        {rows.map(({ keys, what }) => (
          <li
            key={what}
            className="flex items-center justify-between border-b border-line py-2 last:border-b-0"
          >
            {what}
            <Keys keys={keys} />
          </li>
        ))}
      </ul>
      <p className="mt-3 text-xs text-ink-3">
        In a chart: drag to zoom, double-click to see all of it again. The same values stand in the data table
        below the charts.
      </p>
    </Modal>
  );
}

/** Whether the shortcut help is open, and its switch. */
export function useShortcutHelp() {
  return useState(false);
}
