"use client";

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { errorWords } from "../_data/error-words.ts";
import { sendFile } from "../_data/send-file.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { Segmented } from "../_ui/choice.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { FilePicker } from "../_ui/file-picker.tsx";
import { formatPercent } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { TextField } from "../_ui/text-field.tsx";
import { datasetExplanations } from "./dataset-words.ts";
import { ImportOptionFields } from "./import-option-fields.tsx";
import {
  importFaults,
  importOptions,
  importParameters,
  standardImport,
  type TypedImport,
} from "./import-options.ts";

type Way = "hub" | "path" | "upload";

const formats = "Plain text, JSON lines, CSV or Parquet, also compressed with gzip or zstd.";
const endings = ".txt,.md,.jsonl,.ndjson,.json,.csv,.tsv,.parquet,.gz,.zst";

function lastPart(path: string): string {
  return path.split(/[\\/]/).findLast((part) => part !== "") ?? "";
}

function Form({ onClose, onImported }: { onClose: () => void; onImported: (id: string) => void }) {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const [way, setWay] = useState<Way>("hub");
  const [hub, setHub] = useState({ repo: "", config: "", split: "", revision: "" });
  const [path, setPath] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState("");
  const [typed, setTyped] = useState<TypedImport>(standardImport);
  const [sent, setSent] = useState<number | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  async function finish({ id }: { id: string }) {
    onClose();
    await queryClient.invalidateQueries({ queryKey: trpc.datasets.list.pathKey() });
    onImported(id);
  }

  const byName = useMutation(trpc.datasets.import.mutationOptions({ onSuccess: finish }));
  const byUpload = useMutation({
    networkMode: "always",
    mutationFn: async (picked: File) => {
      abort.current = new AbortController();
      setSent(0);
      return sendFile(
        picked,
        {
          method: "POST",
          address: "/api/datasets",
          fields: { file_name: picked.name, name: name.trim(), ...importParameters(typed) },
        },
        { onProgress: setSent, signal: abort.current.signal },
      );
    },
    onSuccess: finish,
    onSettled: () => setSent(null),
  });

  const pending = byName.isPending || byUpload.isPending;
  const error = way === "upload" ? byUpload.error : byName.error;
  const faults = importFaults(typed);
  const named = way === "hub" ? hub.repo.trim() !== "" : way === "path" ? path.trim() !== "" : file !== null;
  const usualName =
    way === "hub" ? hub.repo.trim() : way === "path" ? lastPart(path.trim()) : (file?.name ?? "");

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!named || faults.size > 0 || pending) return;
    if (way === "upload") {
      if (file) byUpload.mutate(file);
      return;
    }
    const { repo, config, split, revision } = hub;
    byName.mutate({
      source:
        way === "path"
          ? { kind: "path", path: path.trim() }
          : {
              kind: "hub",
              repo: repo.trim(),
              config: config.trim() || null,
              split: split.trim() || null,
              ...(revision.trim() ? { revision: revision.trim() } : {}),
            },
      options: importOptions(typed),
      ...(name.trim() ? { name: name.trim() } : {}),
    });
  }

  const hubField = (key: keyof typeof hub, label: string, placeholder: string) => (
    <TextField
      id={`dataset-${key}`}
      label={label}
      numeric
      placeholder={placeholder}
      className={key === "repo" ? "col-span-full" : undefined}
      value={hub[key]}
      aside={<InfoTip about={label} explanation={datasetExplanations[key]} />}
      onChange={(text) => setHub({ ...hub, [key]: text })}
    />
  );

  return (
    <form onSubmit={submit}>
      <Segmented
        label="Where the dataset is"
        value={way}
        choices={[
          { value: "hub", label: "On the hub" },
          { value: "path", label: "On the server" },
          { value: "upload", label: "On this computer" },
        ]}
        onChange={setWay}
      />
      <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-3">
        {way === "hub" ? (
          <>
            {hubField("repo", "Repository", "roneneldan/TinyStories")}
            {hubField("config", "Configuration", "its default")}
            {hubField("split", "Split", "train")}
            {hubField("revision", "Revision", "main")}
          </>
        ) : way === "path" ? (
          <TextField
            id="dataset-path"
            label="Path"
            className="col-span-full"
            placeholder="/data/texts"
            numeric
            value={path}
            hint="As the server sees it: a file, or a folder of files."
            onChange={setPath}
          />
        ) : (
          <FilePicker
            label="File of texts"
            invitation="Choose a file of texts"
            accept={endings}
            file={file}
            onPick={setFile}
          />
        )}
        <TextField
          id="dataset-name"
          label="Name"
          className="col-span-full"
          placeholder={usualName || "As the source is called"}
          value={name}
          onChange={setName}
        />
      </div>
      <ImportOptionFields
        typed={typed}
        faults={faults}
        onChange={(part) => setTyped({ ...typed, ...part })}
      />
      {error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {errorWords(error)}
        </p>
      ) : null}
      {sent !== null ? (
        <div className="mt-4">
          <div className="mb-1.5 flex justify-between text-xs text-ink-2">
            <span>{sent < 1 ? "Sending" : "Sent; the server is taking it in"}</span>
            <span className="num">{formatPercent(sent, 0)}</span>
          </div>
          <ProgressBar label="Upload" value={sent} max={1} />
        </div>
      ) : null}
      <div className="mt-5 flex justify-end gap-2">
        {byUpload.isPending ? (
          <Button onClick={() => abort.current?.abort()}>Cancel the upload</Button>
        ) : (
          <Button onClick={onClose}>Cancel</Button>
        )}
        <Button type="submit" look="primary" disabled={!named || faults.size > 0 || pending}>
          Import
        </Button>
      </div>
    </form>
  );
}

/** Imports texts from the hub, from the server's disk or from this computer. */
export function ImportDatasetDialog({
  open,
  onOpenChange,
  onImported,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** The import has begun; the dataset is there, not ready yet. */
  onImported: (id: string) => void;
}) {
  return (
    <Modal wide open={open} onOpenChange={onOpenChange} title="Import a dataset" description={formats}>
      <Form onClose={() => onOpenChange(false)} onImported={onImported} />
    </Modal>
  );
}
