"use client";

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { TRPCClientError } from "@trpc/client";
import Link from "next/link";
import { type FormEvent, useId, useMemo, useState } from "react";
import { useSettled } from "../_activations/use-settled.ts";
import { errorWords } from "../_data/error-words.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { Button, buttonClass } from "../_ui/button.tsx";
import { SelectBox } from "../_ui/choice.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { formatCompact, formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { EmptyState } from "../_ui/panel.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { FieldFrame, TextField } from "../_ui/text-field.tsx";
import { PackingPreview } from "./packing-preview.tsx";
import { bosLabels, remainderLabels, separatorLabels, tokenExplanations } from "./token-words.ts";
import { givenOptions, standardOptions, type TypedOptions, typedFaults } from "./tokenize-options.ts";

const previewAfterMs = 250;

interface Given {
  kind: "model" | "dataset";
  id: string;
}

interface Begun {
  id: string;
  dataset: { id: string; name: string };
}

/** What is wrong with the options, by field, as the server says it. */
function serverFaults(error: unknown): Map<string, string> {
  if (!(error instanceof TRPCClientError)) return new Map();
  const found: unknown = error.data?.faults;
  const list = Array.isArray(found) ? (found as { path: string; message: string }[]) : [];
  return new Map(
    list.flatMap(({ path, message }) =>
      path.startsWith("options.") ? [[path.slice("options.".length), message] as const] : [],
    ),
  );
}

function useSubjects(given: Given) {
  const trpc = useTRPC();
  const models = useQuery(trpc.models.list.queryOptions({ status: ["ready"], limit: 200 }));
  const datasets = useQuery(trpc.datasets.list.queryOptions({ status: ["ready"], limit: 200 }));
  const [pickedModel, setModel] = useState<string | null>(given.kind === "model" ? given.id : null);
  const [pickedDataset, setDataset] = useState<string | null>(given.kind === "dataset" ? given.id : null);
  const offeredModels = models.data?.items.filter(({ has_tokenizer }) => has_tokenizer) ?? [];
  const offeredDatasets = datasets.data?.items ?? [];
  return {
    error: models.error ?? datasets.error,
    retry: () => {
      for (const query of [models, datasets]) if (query.isError) void query.refetch();
    },
    loading: models.isPending || datasets.isPending,
    models: offeredModels,
    datasets: offeredDatasets,
    model: offeredModels.find(({ id }) => id === pickedModel) ?? offeredModels[0] ?? null,
    dataset: offeredDatasets.find(({ id }) => id === pickedDataset) ?? offeredDatasets[0] ?? null,
    setModel,
    setDataset,
  };
}

function Form({
  given,
  onClose,
  onBegun,
}: {
  given: Given;
  onClose: () => void;
  onBegun: (begun: Begun) => void;
}) {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const id = useId();
  const subjects = useSubjects(given);
  const { model, dataset } = subjects;
  const [typed, setTyped] = useState<TypedOptions>(standardOptions);
  const [name, setName] = useState("");
  const change = (part: Partial<TypedOptions>) => setTyped({ ...typed, ...part });

  const wrong = typedFaults(typed);
  const subject = useMemo(
    () => ({ model_id: model?.id ?? "", dataset_id: dataset?.id ?? "", options: typed }),
    [model?.id, dataset?.id, typed],
  );
  const settled = useSettled(subject, previewAfterMs);
  const sound =
    settled.model_id !== "" && settled.dataset_id !== "" && typedFaults(settled.options).size === 0;
  const preview = useQuery(
    trpc.tokenizations.preview.queryOptions(
      {
        model_id: settled.model_id,
        source: { dataset_id: settled.dataset_id, count: 20 },
        options: sound ? givenOptions(settled.options) : {},
        sequences: 3,
      },
      { enabled: sound, placeholderData: keepPreviousData, retry: false, staleTime: 60_000 },
    ),
  );
  const begin = useMutation(
    trpc.tokenizations.create.mutationOptions({
      onSuccess: async (begun) => {
        onClose();
        await queryClient.invalidateQueries({ queryKey: trpc.tokenizations.list.pathKey() });
        if (dataset) onBegun({ id: begun.id, dataset });
      },
    }),
  );

  const stale = settled !== subject || preview.isPlaceholderData;
  const refused = preview.isError ? serverFaults(preview.error) : new Map<string, string>();
  const faults = new Map([...refused, ...wrong]);
  const packing = preview.isError ? null : (preview.data?.packing ?? null);
  const error = begin.error ?? (preview.isError && refused.size === 0 ? preview.error : null);

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!model || !dataset || faults.size > 0 || begin.isPending) return;
    begin.mutate({
      model_id: model.id,
      dataset_id: dataset.id,
      options: givenOptions(typed),
      ...(name.trim() ? { name: name.trim() } : {}),
    });
  }

  if (subjects.error) {
    return <LoadFailure what="Models and datasets" error={subjects.error} onRetry={() => subjects.retry()} />;
  }
  if (subjects.loading) {
    return (
      <div role="status">
        <span className="sr-only">Loading models and datasets</span>
        <Skeleton className="mb-4 h-8" />
        <Skeleton className="h-40" />
      </div>
    );
  }
  if (!model || !dataset) {
    const missing = model ? "dataset" : "model";
    return (
      <EmptyState
        title={model ? "No dataset is ready yet" : "No model with a tokenizer is ready yet"}
        action={
          <Link href={`/${missing}s`} className={buttonClass("primary")}>
            Go to the {missing}s
          </Link>
        }
      >
        {model
          ? "Import texts first; then they can be tokenized for this model."
          : "Text becomes tokens by a model’s own tokenizer. Import the model first."}
      </EmptyState>
    );
  }
  const automatic = (words: string | undefined) =>
    words === undefined ? "Automatic" : `Automatic: ${words}`;
  return (
    <form onSubmit={submit}>
      <div className="grid gap-x-5 gap-y-4 sm:grid-cols-2">
        {given.kind === "dataset" ? (
          <FieldFrame id={`${id}-model`} label="Model" className="col-span-full">
            <SelectBox
              id={`${id}-model`}
              value={model.id}
              choices={subjects.models.map((one) => ({
                value: one.id,
                label: one.name,
                detail: `${one.model_type ?? ""}, vocabulary ${formatCount(one.d_vocab ?? 0)}, context ${formatCount(one.n_ctx ?? 0)}`,
              }))}
              onChange={subjects.setModel}
            />
          </FieldFrame>
        ) : (
          <FieldFrame id={`${id}-dataset`} label="Dataset" className="col-span-full">
            <SelectBox
              id={`${id}-dataset`}
              value={dataset.id}
              choices={subjects.datasets.map((one) => ({
                value: one.id,
                label: one.name,
                detail: `${formatCompact(one.n_documents ?? 0)} documents, ${formatCompact(one.n_characters ?? 0)} characters`,
              }))}
              onChange={subjects.setDataset}
            />
          </FieldFrame>
        )}
        <TextField
          id={`${id}-context`}
          label="Context size"
          numeric
          inputMode="numeric"
          unit="tokens"
          placeholder={packing && typed.context_size === "" ? String(packing.context_size) : "automatic"}
          value={typed.context_size}
          fault={faults.get("context_size")}
          aside={<InfoTip about="Context size" explanation={tokenExplanations.context_size} />}
          onChange={(context_size) => change({ context_size })}
        />
        <TextField
          id={`${id}-held-out`}
          label="Held out"
          numeric
          inputMode="decimal"
          unit="% of sequences"
          value={typed.held_out}
          fault={faults.get("held_out")}
          aside={<InfoTip about="Held out" explanation={tokenExplanations.held_out} />}
          onChange={(held_out) => change({ held_out })}
        />
        <FieldFrame
          id={`${id}-bos`}
          label="BOS"
          fault={faults.get("bos")}
          aside={<InfoTip about="BOS" explanation={tokenExplanations.bos} />}
        >
          <SelectBox
            id={`${id}-bos`}
            value={typed.bos}
            invalid={faults.has("bos")}
            choices={[
              {
                value: "auto",
                label: automatic(
                  packing && typed.bos === "auto" ? bosLabels[packing.bos].toLowerCase() : undefined,
                ),
              },
              { value: "sequence", label: bosLabels.sequence },
              { value: "document", label: bosLabels.document },
              { value: "none", label: bosLabels.none },
            ]}
            onChange={(bos) => change({ bos })}
          />
        </FieldFrame>
        <FieldFrame
          id={`${id}-separator`}
          label="Between documents"
          fault={faults.get("separator")}
          aside={<InfoTip about="Between documents" explanation={tokenExplanations.separator} />}
        >
          <SelectBox
            id={`${id}-separator`}
            value={typed.separator}
            invalid={faults.has("separator")}
            choices={[
              {
                value: "auto",
                label: automatic(
                  packing && typed.separator === "auto" ? separatorLabels[packing.separator] : undefined,
                ),
              },
              { value: "bos", label: separatorLabels.bos },
              { value: "eos", label: separatorLabels.eos },
              { value: "none", label: separatorLabels.none },
            ]}
            onChange={(separator) => change({ separator })}
          />
        </FieldFrame>
        <FieldFrame
          id={`${id}-remainder`}
          label="Last sequence"
          aside={<InfoTip about="Last sequence" explanation={tokenExplanations.remainder} />}
        >
          <SelectBox
            id={`${id}-remainder`}
            value={typed.remainder}
            choices={[
              { value: "drop", label: remainderLabels.drop },
              { value: "pad", label: remainderLabels.pad },
            ]}
            onChange={(remainder) => change({ remainder })}
          />
        </FieldFrame>
        <TextField
          id={`${id}-name`}
          label="Name"
          placeholder={packing ? `${dataset.name}, ${packing.context_size} tokens` : dataset.name}
          value={name}
          onChange={setName}
        />
      </div>
      {error ? null : (
        <PackingPreview
          preview={faults.size > 0 ? null : (preview.data ?? null)}
          faulty={faults.size > 0}
          stale={stale}
        />
      )}
      {error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {errorWords(error)}
        </p>
      ) : null}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" look="primary" disabled={faults.size > 0 || begin.isPending}>
          Tokenize
        </Button>
      </div>
    </form>
  );
}

/** Asks how a dataset becomes a model's sequences, and shows the first ones before anything is written. */
export function TokenizeDialog({
  given,
  open,
  onOpenChange,
  onBegun,
}: {
  given: Given;
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** It is being made now. */
  onBegun: (begun: Begun) => void;
}) {
  return (
    <Modal
      wide
      open={open}
      onOpenChange={onOpenChange}
      title={given.kind === "dataset" ? "Tokenize this dataset" : "Tokenize a dataset"}
      description="Documents become tokens and are packed into sequences of one length, one after another."
    >
      <Form given={given} onClose={() => onOpenChange(false)} onBegun={onBegun} />
    </Modal>
  );
}
