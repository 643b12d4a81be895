"use client";

import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useRef, useState } from "react";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { Segmented } from "../_ui/choice.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { FilePicker } from "../_ui/file-picker.tsx";
import { formatPercent } from "../_ui/format.ts";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { TextField } from "../_ui/text-field.tsx";
import { uploadActivations } from "./upload.ts";

type Way = "path" | "upload";

/** "x/gpt2.blocks.2.hook_resid_post.safetensors" → "gpt2.blocks.2.hook_resid_post". */
function nameFrom(path: string): string {
  return (path.split(/[\\/]/).at(-1) ?? "").replace(/\.safetensors$/, "");
}

/** The hook point that TransformerLens' names leave in a file name, if any. */
function hookFrom(name: string): string {
  return /blocks\.\d+\.(?:\w+\.)?hook_\w+/.exec(name)?.[0] ?? "";
}

/** Imports a set from a file on the server's disk, or from this computer. */
export function ImportDialog({
  open,
  onOpenChange,
  onImported,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** The import has begun; the set is there, perhaps not ready yet. */
  onImported: (id: string) => void;
}) {
  const trpc = useTRPC();
  const [way, setWay] = useState<Way>("upload");
  const [file, setFile] = useState<File | null>(null);
  const [path, setPath] = useState("");
  const [typedName, setTypedName] = useState<string | null>(null);
  const [typedHook, setTypedHook] = useState<string | null>(null);
  const [model, setModel] = useState("");
  const [dataset, setDataset] = useState("");
  const [tensor, setTensor] = useState("");
  const [sent, setSent] = useState<number | null>(null);
  const abort = useRef<AbortController | null>(null);

  const origin = way === "path" ? path : (file?.name ?? "");
  const name = typedName ?? nameFrom(origin);
  const hook = typedHook ?? hookFrom(origin);

  function optional() {
    return {
      ...(hook ? { hook_name: hook } : {}),
      ...(model ? { model_name: model } : {}),
      ...(dataset ? { dataset_name: dataset } : {}),
      ...(tensor ? { tensor } : {}),
    };
  }

  function finish(id: string) {
    setFile(null);
    setPath("");
    setTypedName(null);
    setTypedHook(null);
    onImported(id);
    onOpenChange(false);
  }

  const byPath = useMutation(
    trpc.activationSets.import.mutationOptions({ onSuccess: ({ id }) => finish(id) }),
  );
  const byUpload = useMutation({
    networkMode: "always",
    mutationFn: async (picked: File) => {
      abort.current = new AbortController();
      setSent(0);
      return uploadActivations(
        picked,
        { name, ...optional() },
        { onProgress: setSent, signal: abort.current.signal },
      );
    },
    onSuccess: ({ id }) => finish(id),
    onSettled: () => setSent(null),
  });
  const pending = byPath.isPending || byUpload.isPending;
  const error = way === "path" ? byPath.error : byUpload.error;
  const ready = name.trim() !== "" && (way === "path" ? path.trim() !== "" : file !== null);

  function submit(event: FormEvent) {
    event.preventDefault();
    // The form may stand inside another one, in React's tree if not in the page's.
    event.stopPropagation();
    if (!ready || pending) return;
    if (way === "path") byPath.mutate({ path: path.trim(), name, ...optional() });
    else if (file) byUpload.mutate(file);
  }

  return (
    <Modal
      wide
      open={open}
      onOpenChange={(next) => {
        if (!next) abort.current?.abort();
        onOpenChange(next);
      }}
      title="Import activations"
      description="A safetensors file with one tensor [n_tokens, d_in] in F32, F16 or BF16."
    >
      <form onSubmit={submit}>
        <Segmented
          label="Where the file is"
          value={way}
          choices={[
            { value: "upload", label: "On this computer" },
            { value: "path", label: "On the server" },
          ]}
          onChange={setWay}
        />
        <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-2">
          {way === "path" ? (
            <TextField
              id="import-path"
              label="Path"
              className="col-span-full"
              placeholder="/data/activations/model.blocks.2.hook_resid_post.safetensors"
              numeric
              value={path}
              onChange={setPath}
              hint="As the server sees it."
            />
          ) : (
            <FilePicker
              label="Safetensors file"
              invitation="Choose a safetensors file"
              accept=".safetensors"
              file={file}
              onPick={setFile}
            />
          )}
          <TextField id="import-name" label="Name" value={name} onChange={setTypedName} />
          <TextField
            id="import-hook"
            label="Hook point"
            placeholder="blocks.2.hook_resid_post"
            numeric
            value={hook}
            onChange={setTypedHook}
          />
          <TextField id="import-model" label="Model" placeholder="gpt2" value={model} onChange={setModel} />
          <TextField
            id="import-dataset"
            label="Dataset"
            placeholder="openwebtext"
            value={dataset}
            onChange={setDataset}
          />
          <TextField
            id="import-tensor"
            label="Tensor"
            placeholder="activations"
            numeric
            value={tensor}
            onChange={setTensor}
            hint="Only where the file has more than one."
          />
        </div>
        {error ? (
          <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 text-bad">
            {error.message}
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
            <Button onClick={() => onOpenChange(false)}>Cancel</Button>
          )}
          <Button type="submit" look="primary" disabled={!ready || pending}>
            Import
          </Button>
        </div>
      </form>
    </Modal>
  );
}
