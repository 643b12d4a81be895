"use client";

import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { SaeDetail } from "../../server/saes/views.ts";
import { HookField } from "../_activations/hook-field.tsx";
import { ModelAndTokens } from "../_activations/model-and-tokens.tsx";
import { useModelAndTokens } from "../_activations/use-model-and-tokens.ts";
import { errorWords } from "../_data/error-words.ts";
import { useTRPC } from "../_data/trpc.ts";
import { PrecisionField } from "../_models/precision-field.tsx";
import { Button } from "../_ui/button.tsx";
import { formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { TextField } from "../_ui/text-field.tsx";

const standardSequences = 64;

const hookHelp = {
  help: "Where the SAE reads in the model, by TransformerLens’ names. Only hook points of its width are offered. A transcoder writes where it was trained to.",
  source: "TransformerLens",
};
const sequencesHelp = {
  help: "Sequences that are held out of training. More of them give steadier figures and take longer: each goes through the model with the SAE, and clean, with zeros and with the mean in its place.",
};

/** Asks for an SAE to be measured in its language model. */
export function EvaluateInModel({
  sae,
  onClose,
  onBegun,
}: {
  sae: SaeDetail;
  onClose: () => void;
  onBegun: () => void;
}) {
  const trpc = useTRPC();
  const newest = sae.evaluations.find(({ subject }) => subject !== null);
  const before = newest?.subject ?? null;
  const models = useQuery(trpc.models.list.queryOptions({ limit: 200 }));
  const named = models.data?.items.find(({ name, status }) => name === sae.model_name && status === "ready");
  const choice = useModelAndTokens({
    model_id: before?.model.id ?? named?.id,
    tokenization_id: before?.tokenization.id,
  });
  const [picked, setPicked] = useState<string | null>(before?.hook_name ?? sae.hook_name);
  const [typed, setTyped] = useState(formatCount(standardSequences));
  const [precision, setPrecision] = useState<Precision>(newest?.precision ?? "f32");
  const begin = useMutation(trpc.saes.evaluateInModel.mutationOptions({ onSuccess: onBegun }));

  const { model, tokenization } = choice;
  const points = choice.points.filter(({ width }) => width === sae.d_in);
  const hook = points.find(({ name }) => name === picked)?.name ?? null;
  const hookFault =
    points.length === 0
      ? `“${model?.name}” has no hook point of the SAE’s width ${formatCount(sae.d_in ?? 0)}. Choose another model.`
      : hook === null
        ? picked === null
          ? "Where it was trained is not recorded; choose the hook point."
          : `There is no ${picked} of the SAE’s width in this model. Choose the hook point.`
        : undefined;
  const held = tokenization?.held_out_sequences ?? 0;
  const faults = new Map(
    tokenization && held === 0
      ? [
          [
            "tokenization_id",
            "It holds no sequences out of training. Choose another, or tokenize with some held out.",
          ],
        ]
      : [],
  );
  const wanted = Number(typed.replaceAll(/[\s,_]/g, ""));
  const faulty = !(Number.isInteger(wanted) && wanted >= 1 && wanted <= 100_000);
  const sound = model !== null && tokenization !== null && hook !== null && held > 0 && !faulty;

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!sound || begin.isPending) return;
    begin.mutate({
      id: sae.id,
      model_id: model.id,
      tokenization_id: tokenization.id,
      hook_name: hook,
      n_sequences: wanted,
      precision,
    });
  }

  return (
    <form onSubmit={submit}>
      <ModelAndTokens choice={choice} faults={faults}>
        <div className="mt-4 grid gap-x-5 gap-y-4 sm:grid-cols-2">
          <HookField
            label="Hook point"
            points={points}
            value={hook}
            fault={hookFault}
            aside={<InfoTip about="Hook point" explanation={hookHelp} />}
            onChange={setPicked}
          />
          <TextField
            id="evaluation-sequences"
            label="Sequences"
            numeric
            inputMode="numeric"
            unit="sequences"
            value={typed}
            fault={faulty ? "The number of sequences must be a whole number from 1 to 100,000." : undefined}
            hint={
              tokenization && held > 0
                ? `Of ${formatCount(held)} held out, ${formatCount(tokenization.context_size)} tokens each.`
                : undefined
            }
            aside={<InfoTip about="Sequences" explanation={sequencesHelp} />}
            onChange={setTyped}
          />
          <PrecisionField id="evaluation-precision" value={precision} onChange={setPrecision} />
        </div>
      </ModelAndTokens>
      {begin.error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {errorWords(begin.error)}
        </p>
      ) : null}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" look="primary" disabled={!sound || begin.isPending}>
          Evaluate
        </Button>
      </div>
    </form>
  );
}
