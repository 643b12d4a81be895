"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { errorWords } from "../_data/error-words.ts";
import { useTRPC, useTRPCClient } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { Segmented } from "../_ui/choice.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { formatBytes } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { TextField } from "../_ui/text-field.tsx";
import { PreviewResult } from "./preview.tsx";

type Way = "hub" | "folder";

function Form({ onClose, onImported }: { onClose: () => void; onImported: (id: string) => void }) {
  const trpc = useTRPC();
  const client = useTRPCClient();
  const queryClient = useQueryClient();
  const [way, setWay] = useState<Way>("hub");
  const [repo, setRepo] = useState("");
  const [revision, setRevision] = useState("");
  const [path, setPath] = useState("");
  const [name, setName] = useState("");
  const asking = useRef<AbortController | null>(null);

  const source =
    way === "hub"
      ? { kind: "hub" as const, repo: repo.trim(), ...(revision.trim() ? { revision: revision.trim() } : {}) }
      : { kind: "folder" as const, path: path.trim() };
  const named = way === "hub" ? repo.trim() !== "" : path.trim() !== "";

  const look = useMutation({
    networkMode: "always",
    mutationFn: () => {
      asking.current?.abort();
      asking.current = new AbortController();
      return client.models.preview.query({ source }, { signal: asking.current.signal });
    },
  });
  const begin = useMutation(
    trpc.models.import.mutationOptions({
      onSuccess: async ({ id }) => {
        onClose();
        await queryClient.invalidateQueries({ queryKey: trpc.models.pathKey() });
        onImported(id);
      },
    }),
  );
  const preview = look.data ?? null;
  const error = begin.error ?? look.error;

  /** A preview belongs to the source that it was made of. */
  function change(set: () => void) {
    set();
    asking.current?.abort();
    look.reset();
    begin.reset();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!named || begin.isPending || look.isPending) return;
    if (!preview?.supported) look.mutate();
    else begin.mutate({ source, ...(name.trim() ? { name: name.trim() } : {}) });
  }

  return (
    <form onSubmit={submit}>
      <Segmented
        label="Where the model is"
        value={way}
        choices={[
          { value: "hub", label: "On the hub" },
          { value: "folder", label: "On the server" },
        ]}
        onChange={(next) => change(() => setWay(next))}
      />
      <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-[1.6fr_1fr]">
        {way === "hub" ? (
          <>
            <TextField
              id="model-repo"
              label="Repository"
              placeholder="openai-community/gpt2"
              numeric
              value={repo}
              aside={
                <InfoTip
                  about="Repository"
                  explanation={{
                    help: "Owner and name, as the model’s address on the hub ends. Its weights must be safetensors files.",
                    note: "The hub is FACET_HUB_URL, huggingface.co unless set.",
                  }}
                />
              }
              onChange={(text) => change(() => setRepo(text))}
            />
            <TextField
              id="model-revision"
              label="Revision"
              placeholder="main"
              numeric
              value={revision}
              aside={
                <InfoTip
                  about="Revision"
                  explanation={{
                    help: "Branch, tag or commit. The commit that it stands for is kept with the model.",
                  }}
                />
              }
              onChange={(text) => change(() => setRevision(text))}
            />
          </>
        ) : (
          <TextField
            id="model-path"
            label="Path"
            className="col-span-full"
            placeholder="/data/models/gpt2"
            numeric
            value={path}
            hint="As the server sees it: a folder with config.json, tokenizer.json and safetensors files. It is copied."
            onChange={(text) => change(() => setPath(text))}
          />
        )}
        <TextField
          id="model-name"
          label="Name"
          className="col-span-full"
          placeholder={preview?.name ?? (way === "hub" ? "The repository’s name" : "The folder’s name")}
          value={name}
          onChange={setName}
        />
      </div>
      {look.isPending ? (
        <div role="status" className="mt-4 border-t border-line pt-4">
          <span className="sr-only">Looking at the model</span>
          <Skeleton className="mb-3 h-24" />
          <Skeleton className="h-14" />
        </div>
      ) : null}
      {preview ? (
        <section aria-label="Preview" className="mt-4 border-t border-line pt-4">
          <PreviewResult preview={preview} />
        </section>
      ) : null}
      {error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {errorWords(error)}
        </p>
      ) : null}
      <div className="mt-5 flex items-center justify-end gap-2">
        {preview ? null : (
          <p className="mr-auto text-xs text-ink-3">
            {way === "hub" ? "Nothing is downloaded before you have seen what it is." : ""}
          </p>
        )}
        <Button onClick={onClose}>Cancel</Button>
        {preview?.supported ? (
          <Button type="submit" look="primary" disabled={begin.isPending}>
            Import {formatBytes(preview.download_bytes)}
          </Button>
        ) : (
          <Button type="submit" look="primary" disabled={!named || look.isPending}>
            {look.isPending ? "Looking…" : preview ? "Look again" : "Preview"}
          </Button>
        )}
      </div>
    </form>
  );
}

/** Imports a model from the hub or from a folder, once one has seen what it is. */
export function ImportModelDialog({
  open,
  onOpenChange,
  onImported,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** The import has begun; the model is there, not ready yet. */
  onImported: (id: string) => void;
}) {
  return (
    <Modal
      wide
      open={open}
      onOpenChange={onOpenChange}
      title="Import a model"
      description="A decoder-only language model in Hugging Face’s layout, with weights as safetensors."
    >
      <Form onClose={() => onOpenChange(false)} onImported={onImported} />
    </Modal>
  );
}
