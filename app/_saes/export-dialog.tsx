"use client";

import { useMutation } from "@tanstack/react-query";
import { Download, FolderOutput } from "lucide-react";
import { useId, useState } from "react";
import type { SaeDetail } from "../../server/saes/views.ts";
import { errorWords } from "../_data/error-words.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button, buttonClass } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { CopyText } from "../_ui/copy-text.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { exportHelp, formatNames } from "./sae-words.ts";

/** Takes an SAE out of the studio: in a layout that others read, as a download or as a folder on the server. */
export function ExportDialog({
  sae,
  open,
  onOpenChange,
}: {
  sae: SaeDetail;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}) {
  const trpc = useTRPC();
  const id = useId();
  const possible = sae.exports.filter(({ refusal }) => refusal === null);
  const [format, setFormat] = useState(possible[0]?.format ?? "facet");
  const write = useMutation(trpc.saes.export.mutationOptions());
  return (
    <Modal open={open} onOpenChange={onOpenChange} title={`Export “${sae.name}”`}>
      <fieldset>
        <legend className="mb-2 text-ink-2">Format</legend>
        <div className="flex flex-col gap-2">
          {sae.exports.map(({ format: one, refusal }) => (
            <label
              key={one}
              className={classNames(
                "flex items-start gap-3 rounded-md border px-3 py-2.5 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
                refusal === null ? "cursor-pointer hover:bg-hover" : "",
                one === format ? "border-accent bg-accent-soft" : "border-line-strong",
              )}
            >
              <input
                type="radio"
                name={id}
                value={one}
                checked={one === format}
                disabled={refusal !== null}
                onChange={() => {
                  setFormat(one);
                  write.reset();
                }}
                className="mt-0.5 accent-(--accent)"
              />
              <span className="min-w-0">
                <span className={classNames("block font-medium", refusal !== null && "text-ink-3")}>
                  {formatNames[one]}
                </span>
                <span className="block text-xs text-ink-2">{refusal ?? exportHelp[one]}</span>
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      {write.data ? (
        <div role="status" className="mt-4 rounded-md bg-ok-soft px-3 py-2">
          <p className="font-medium text-ok">Written on the server</p>
          <CopyText label="folder" text={write.data.path} />
        </div>
      ) : null}
      {write.error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 text-bad">
          {errorWords(write.error)}
        </p>
      ) : null}
      <div className="mt-5 flex flex-wrap justify-end gap-2">
        <Button disabled={write.isPending} onClick={() => write.mutate({ id: sae.id, format })}>
          <FolderOutput aria-hidden size={14} />
          {write.isPending ? "Writing…" : "Write on the server"}
        </Button>
        <a href={`/api/saes/${sae.id}?format=${format}`} download className={buttonClass("primary")}>
          <Download aria-hidden size={14} />
          Download
        </a>
      </div>
    </Modal>
  );
}
