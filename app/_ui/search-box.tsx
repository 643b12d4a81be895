"use client";

import { Search, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { classNames } from "./class-names.ts";
import { inputClass } from "./text-field.tsx";

const settleMs = 200;

/** A search input that says what was typed once the typing rests; `/` goes to it. */
export function SearchBox({
  label,
  value,
  onChange,
  className,
}: {
  label: string;
  value: string;
  onChange: (text: string) => void;
  className?: string;
}) {
  const [text, setText] = useState(value);
  const said = useRef(value);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    if (value === said.current) return;
    said.current = value;
    setText(value);
  }, [value]);

  useEffect(() => {
    if (text === said.current) return;
    const timer = setTimeout(() => {
      said.current = text;
      onChange(text);
    }, settleMs);
    return () => clearTimeout(timer);
  }, [text, onChange]);

  return (
    <div className={classNames("relative", className)}>
      <Search
        aria-hidden
        size={14}
        className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-ink-3"
      />
      <input
        ref={input}
        data-search
        type="search"
        aria-label={label}
        placeholder={label}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          if (text) setText("");
          else input.current?.blur();
        }}
        className={classNames(inputClass(), "px-8 [&::-webkit-search-cancel-button]:hidden")}
      />
      {text ? (
        <button
          type="button"
          aria-label="Clear the search"
          onClick={() => {
            setText("");
            input.current?.focus();
          }}
          className="absolute top-1/2 right-1.5 inline-flex size-6 -translate-y-1/2 items-center justify-center rounded-md text-ink-3 hover:text-ink"
        >
          <X aria-hidden size={13} />
        </button>
      ) : (
        <kbd
          aria-hidden
          className="num pointer-events-none absolute top-1/2 right-2 hidden -translate-y-1/2 rounded border border-line px-1.5 text-2xs text-ink-3 md:block"
        >
          /
        </kbd>
      )}
    </div>
  );
}
