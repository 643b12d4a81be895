"use client";

import { FileUp } from "lucide-react";
import { type DragEvent, useRef, useState } from "react";
import { classNames } from "./class-names.ts";
import { formatBytes } from "./format.ts";

/** Takes a file of this computer, chosen or dropped. */
export function FilePicker({
  label,
  invitation,
  accept,
  file,
  onPick,
}: {
  /** Accessible name of the input. */
  label: string;
  /** What it says while there is none, e.g. "Choose a safetensors file". */
  invitation: string;
  /** Endings, as of an input. */
  accept: string;
  file: File | null;
  onPick: (file: File) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  function drop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    const dropped = event.dataTransfer.files[0];
    if (dropped) onPick(dropped);
  }
  return (
    <div className="col-span-full">
      <input
        ref={input}
        type="file"
        accept={accept}
        aria-label={label}
        className="sr-only"
        tabIndex={-1}
        onChange={(event) => {
          const picked = event.target.files?.[0];
          if (picked) onPick(picked);
        }}
      />
      <button
        type="button"
        onClick={() => input.current?.click()}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
        className={classNames(
          "flex w-full flex-col items-center gap-1 rounded-lg border border-dashed px-4 py-5 text-center hover:border-ink-3",
          over ? "border-accent bg-accent-soft" : "border-line-strong",
        )}
      >
        <FileUp aria-hidden size={18} className="text-ink-3" />
        {file ? (
          <>
            <span className="font-medium break-all">{file.name}</span>
            <span className="text-xs text-ink-3">
              <span className="num">{formatBytes(file.size)}</span> · choose another
            </span>
          </>
        ) : (
          <>
            <span className="font-medium">{invitation}</span>
            <span className="text-xs text-ink-3">or drop it here</span>
          </>
        )}
      </button>
    </div>
  );
}
