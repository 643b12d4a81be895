"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ChevronRight } from "lucide-react";
import { type FormEvent, useId, useMemo, useState } from "react";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { CaptureDtype } from "../../server/captures/views.ts";
import { errorWords } from "../_data/error-words.ts";
import { useTRPC } from "../_data/trpc.ts";
import { PrecisionField } from "../_models/precision-field.tsx";
import { Button } from "../_ui/button.tsx";
import { Segmented } from "../_ui/choice.tsx";
import { Modal } from "../_ui/dialog.tsx";
import { InfoTip } from "../_ui/info-tip.tsx";
import { FieldFrame, TextField } from "../_ui/text-field.tsx";
import { CaptureEstimate, overflows } from "./capture-estimate.tsx";
import { hooksFor } from "./hook-choice.ts";
import { HookList } from "./hook-list.tsx";
import { ModelAndTokens } from "./model-and-tokens.tsx";
import { readTokenIds } from "./token-ids.ts";
import { type GivenSubject, useModelAndTokens } from "./use-model-and-tokens.ts";
import { useSettled } from "./use-settled.ts";

const estimateAfterMs = 200;

export interface CaptureBegun {
  id: string;
  activation_set_ids: string[];
}

/** What the form starts with; what is not given stands at its default. */
export interface GivenCapture extends GivenSubject {
  hooks?: readonly string[];
  precision?: Precision;
}

const explanations = {
  dtype: {
    help: "How activations are stored. F16 takes half the space and is precise to three digits, which training does not notice. A value beyond ±65,504 does not fit F16; a capture that meets one ends and says where.",
  },
  excluded: {
    help: "Ids that count as special although the tokenizer does not call them so: their rows are kept out of training and evaluation. Special tokens and padding are left out anyway. A dataset’s tokens page shows ids.",
    note: "numbers with commas or spaces between; may be empty",
  },
  batch: {
    help: "Sequences that go through the model together. Automatic takes as many as the GPU’s memory has room for; choose fewer when other programs need it.",
    note: "1 to 4,096; may be empty",
  },
} as const;

function Form({
  given,
  onClose,
  onBegun,
}: {
  given: GivenCapture;
  onClose: () => void;
  onBegun: (capture: CaptureBegun) => void;
}) {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const id = useId();
  const choice = useModelAndTokens(given);
  const [name, setName] = useState<string | null>(null);
  const [picked, setPicked] = useState<readonly string[] | null>(given.hooks ?? null);
  const [dtype, setDtype] = useState<CaptureDtype>("float16");
  const [precision, setPrecision] = useState<Precision>(given.precision ?? "f32");
  const [excluded, setExcluded] = useState("");
  const [batch, setBatch] = useState("");

  const { model, tokenization, points } = choice;
  const hooks = useMemo(
    () =>
      picked === null
        ? hooksFor("topk", [null], points).filter((hook) => hook !== null)
        : picked.filter((hook) => points.some((point) => point.name === hook)),
    [picked, points],
  );
  const shownName = name ?? (model && tokenization ? `${model.name} on ${tokenization.dataset.name}` : "");
  const ids = readTokenIds(excluded);
  const batchSize = batch.trim() === "" ? null : Number(batch.replaceAll(/[\s,_]/g, ""));
  const batchFault =
    batchSize !== null && !(Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= 4_096)
      ? "The batch must be a whole number from 1 to 4,096."
      : undefined;
  const complete = model !== null && tokenization !== null && hooks.length > 0;
  const sound = complete && ids !== null && batchFault === undefined;

  const subject = useMemo(
    () => ({
      ...{ model_id: model?.id ?? "", tokenization_id: tokenization?.id ?? "" },
      ...{ hooks, dtype, precision },
    }),
    [model?.id, tokenization?.id, hooks, dtype, precision],
  );
  const settled = useSettled(subject, estimateAfterMs);
  const asked = settled.model_id !== "" && settled.tokenization_id !== "" && settled.hooks.length > 0;
  const estimate = useQuery(
    trpc.captures.estimate.queryOptions(settled, {
      enabled: complete && asked,
      placeholderData: keepPreviousData,
      retry: false,
    }),
  );
  const known = complete && asked ? (estimate.data ?? null) : null;
  const full = known !== null && overflows(known);

  const begin = useMutation(
    trpc.captures.create.mutationOptions({
      onSuccess: async (capture) => {
        onBegun(capture);
        onClose();
        await Promise.all([
          queryClient.invalidateQueries({ queryKey: trpc.captures.list.pathKey() }),
          queryClient.invalidateQueries({ queryKey: trpc.activationSets.list.pathKey() }),
        ]);
      },
    }),
  );
  const error = begin.error ?? (complete ? estimate.error : null);

  function submit(event: FormEvent) {
    event.preventDefault();
    // The form may stand inside another one, in React's tree if not in the page's.
    event.stopPropagation();
    if (!sound || full || begin.isPending) return;
    begin.mutate({
      ...subject,
      ...(shownName.trim() ? { name: shownName.trim().slice(0, 200) } : {}),
      options: { excluded_token_ids: ids ?? [], batch_size: batchSize },
    });
  }

  return (
    <form onSubmit={submit}>
      <ModelAndTokens choice={choice}>
        <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-2">
          <HookList
            points={points}
            chosen={hooks}
            fault={hooks.length === 0 ? "Choose at least one hook point." : undefined}
            onChoose={setPicked}
          />
          <TextField id={`${id}-name`} label="Name" value={shownName} onChange={setName} />
          <FieldFrame
            id={`${id}-dtype`}
            label="Stored as"
            aside={<InfoTip about="Stored as" explanation={explanations.dtype} />}
          >
            <Segmented
              label="Stored as"
              value={dtype}
              choices={[
                { value: "float16", label: "F16" },
                { value: "float32", label: "F32" },
              ]}
              onChange={setDtype}
            />
          </FieldFrame>
          <PrecisionField id={`${id}-precision`} value={precision} onChange={setPrecision} />
        </div>
        <Collapsible.Root className="mt-3" defaultOpen={false}>
          <Collapsible.Trigger className="group -ml-1 flex items-center gap-1.5 rounded-md px-1 py-0.5 text-xs text-ink-2 hover:text-ink">
            <ChevronRight
              aria-hidden
              size={13}
              className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
            />
            Excluded tokens, batch size
            {excluded.trim() !== "" || batch.trim() !== "" ? (
              <span className="text-accent">changed</span>
            ) : null}
          </Collapsible.Trigger>
          <Collapsible.Panel>
            <div className="grid gap-x-5 gap-y-4 pt-2 sm:grid-cols-2">
              <TextField
                id={`${id}-excluded`}
                label="Excluded token ids"
                placeholder="none"
                numeric
                value={excluded}
                fault={ids === null ? "Ids are whole numbers, with commas between: 0, 198." : undefined}
                aside={<InfoTip about="Excluded token ids" explanation={explanations.excluded} />}
                onChange={setExcluded}
              />
              <TextField
                id={`${id}-batch`}
                label="Batch size"
                placeholder="automatic"
                numeric
                inputMode="numeric"
                unit="sequences"
                value={batch}
                fault={batchFault}
                aside={<InfoTip about="Batch size" explanation={explanations.batch} />}
                onChange={setBatch}
              />
            </div>
          </Collapsible.Panel>
        </Collapsible.Root>
        <div className="mt-4">
          <CaptureEstimate estimate={known} stale={settled !== subject || estimate.isPlaceholderData} />
        </div>
      </ModelAndTokens>
      {error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {errorWords(error)}
        </p>
      ) : null}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" look="primary" disabled={!sound || full || begin.isPending}>
          {hooks.length > 1 ? `Capture ${hooks.length} hook points` : "Capture"}
        </Button>
      </div>
    </form>
  );
}

/** Asks for a model's activations on tokens to be stored: where, how, and what that takes. */
export function CaptureDialog({
  open,
  onOpenChange,
  given = {},
  onBegun,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  given?: GivenCapture;
  /** It waits for a worker now; its sets are there, not ready yet. */
  onBegun: (capture: CaptureBegun) => void;
}) {
  return (
    <Modal
      wide
      open={open}
      onOpenChange={onOpenChange}
      title="Capture activations"
      description="Runs a language model over tokens once, and stores what it computes at the hook points."
    >
      <Form given={given} onClose={() => onOpenChange(false)} onBegun={onBegun} />
    </Modal>
  );
}
