"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../_data/error-words.ts";
import { useTRPC, useTRPCClient } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { TextField } from "../_ui/text-field.tsx";
import { InspectionResult } from "./inspection.tsx";

/** Imports an SAE from the server's disk, after a look at what is there if one wants it. */
export function ImportSaeDialog({
  open,
  onOpenChange,
  onImported,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** The import has begun; the SAE is there, perhaps not ready yet. */
  onImported: (id: string) => void;
}) {
  const trpc = useTRPC();
  const client = useTRPCClient();
  const queryClient = useQueryClient();
  const [path, setPath] = useState("");
  const [name, setName] = useState("");

  const look = useMutation({
    networkMode: "always",
    mutationFn: (wanted: string) => client.saes.inspect.query({ path: wanted }),
  });
  const begin = useMutation(
    trpc.saes.import.mutationOptions({
      onSuccess: async ({ id }) => {
        setPath("");
        setName("");
        look.reset();
        onOpenChange(false);
        await queryClient.invalidateQueries({ queryKey: trpc.saes.list.pathKey() });
        onImported(id);
      },
    }),
  );
  const wanted = path.trim();
  const noSae = look.data !== undefined && look.data.kind !== "sae";
  const error = begin.error ?? look.error;

  function change(next: string) {
    setPath(next);
    look.reset();
    begin.reset();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (wanted === "" || noSae || begin.isPending) return;
    begin.mutate({ path: wanted, ...(name.trim() ? { name: name.trim() } : {}) });
  }

  return (
    <Modal
      wide
      open={open}
      onOpenChange={onOpenChange}
      title="Import an SAE"
      description="A file or folder of SAELens, dictionary_learning, sparsify, Gemma Scope or OpenAI, on the server's disk."
    >
      <form onSubmit={submit}>
        <div className="flex items-start gap-2">
          <TextField
            id="sae-path"
            label="Path"
            className="flex-1"
            placeholder="/data/saes/gpt2/blocks.8.hook_resid_pre"
            numeric
            value={path}
            onChange={change}
            hint="As the server sees it: the folder of one SAE, or its file."
          />
          <Button
            className="mt-6"
            disabled={wanted === "" || look.isPending}
            onClick={() => {
              begin.reset();
              look.mutate(wanted);
            }}
          >
            {look.isPending ? "Looking…" : "Look inside"}
          </Button>
        </div>
        <TextField
          id="sae-name"
          label="Name"
          className="mt-4"
          placeholder="The last part of the path"
          value={name}
          onChange={setName}
        />
        {look.data ? (
          <section aria-label="What is there" className="mt-4 border-t border-line pt-4">
            <InspectionResult
              found={look.data}
              onChoose={(chosen) => {
                change(chosen);
                look.mutate(chosen);
              }}
            />
          </section>
        ) : null}
        {error ? (
          <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
            {errorWords(error)}
          </p>
        ) : null}
        <div className="mt-5 flex justify-end gap-2">
          <Button onClick={() => onOpenChange(false)}>Cancel</Button>
          <Button type="submit" look="primary" disabled={wanted === "" || noSae || begin.isPending}>
            Import
          </Button>
        </div>
      </form>
    </Modal>
  );
}
