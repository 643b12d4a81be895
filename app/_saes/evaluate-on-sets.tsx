"use client";

import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import type { ActivationSetView } from "../../server/activations/views.ts";
import type { SaeDetail } from "../../server/saes/views.ts";
import { errorWords } from "../_data/error-words.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { SetPicker } from "../_runs/set-picker.tsx";
import { Button } from "../_ui/button.tsx";
import { formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { TextField } from "../_ui/text-field.tsx";

const standardTokens = 16_384;
const tokensHelp = {
  help: "Rows from the start of the set. Of a captured set that keeps rows out of training, those: what the SAE has never seen.",
};

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Ready sets that fit a place: of its width, and of as many rows as the others. */
function fitting(
  items: readonly ActivationSetView[],
  width: number,
  others: readonly (ActivationSetView | null)[],
): ActivationSetView[] {
  const first = others.find((set) => set !== null);
  return items.filter(
    (set) =>
      set.status === "ready" &&
      set.d_in === width &&
      !others.some((other) => other?.id === set.id) &&
      (!first || set.n_tokens === first.n_tokens),
  );
}

interface FormProps {
  sae: SaeDetail;
  onClose: () => void;
  onBegun: () => void;
}

/** Asks for an SAE to be measured on stored activations. */
export function EvaluateOnSets(props: FormProps) {
  const trpc = useTRPC();
  const sets = useQuery(trpc.activationSets.list.queryOptions({ limit: 200 }));
  if (sets.isError) {
    return <LoadFailure what="The activation sets" error={sets.error} onRetry={() => void sets.refetch()} />;
  }
  return sets.data ? <Form {...props} items={sets.data.items} /> : <Skeleton className="h-20" />;
}

function Form({ sae, items, onClose, onBegun }: FormProps & { items: readonly ActivationSetView[] }) {
  const trpc = useTRPC();
  const needed = sae.needed_sets;
  const [chosen, setChosen] = useState<readonly (ActivationSetView | null)[]>(() => needed.map(() => null));
  const [tokens, setTokens] = useState(formatCount(standardTokens));
  const begin = useMutation(trpc.saes.evaluate.mutationOptions({ onSuccess: onBegun }));
  const othersOf = (place: number) => chosen.map((set, at) => (at === place ? null : set));

  // What the SAE was trained on comes first, by its hook point; then whatever fits.
  useEffect(() => {
    setChosen((before) => {
      const filled = [...before];
      for (const [place, { width, hook_name: wanted }] of needed.entries()) {
        if (filled[place]) continue;
        const others = filled.map((set, at) => (at === place ? null : set));
        const fits = fitting(items, width, others);
        filled[place] = fits.find(({ hook_name }) => hook_name === wanted) ?? fits[0] ?? null;
      }
      return filled;
    });
  }, [items, needed]);

  const wanted = Number(tokens.replaceAll(/[\s,_]/g, ""));
  const faulty = !Number.isInteger(wanted) || wanted < 1;
  const apart = chosen.every((set) => set !== null && set.held_out_tokens !== null);
  const rows = (apart ? chosen[0]?.held_out_tokens : chosen[0]?.n_tokens) ?? null;
  const complete = chosen.every((set) => set !== null);

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!complete || faulty || begin.isPending) return;
    begin.mutate({
      id: sae.id,
      activation_set_ids: chosen.flatMap((set) => (set ? [set.id] : [])),
      tokens: wanted,
    });
  }

  return (
    <form onSubmit={submit}>
      <div className="flex flex-col gap-4">
        {needed.map(({ name, width }, place) => {
          const fits = fitting(items, width, othersOf(place));
          return (
            <SetPicker
              key={name}
              label={capitalized(name)}
              items={fits}
              chosen={chosen[place] ?? null}
              fault={undefined}
              nothingFits={
                fits.length === 0 ? `No ready set of width ${formatCount(width)} fits here.` : null
              }
              onChoose={(set) => setChosen(chosen.map((one, at) => (at === place ? set : one)))}
            />
          );
        })}
        <TextField
          id="evaluation-tokens"
          label="Tokens"
          numeric
          inputMode="numeric"
          unit="tokens"
          value={tokens}
          fault={faulty ? "The number of tokens must be a whole number from 1." : undefined}
          hint={rows === null ? undefined : `Of ${formatCount(rows)} ${apart ? "held out" : "in the set"}.`}
          aside={<InfoTip about="Tokens" explanation={tokensHelp} />}
          onChange={setTokens}
        />
      </div>
      {begin.error ? (
        <p role="alert" className="mt-4 rounded-md bg-bad-soft px-3 py-2 text-bad">
          {errorWords(begin.error)}
        </p>
      ) : null}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" look="primary" disabled={!complete || faulty || begin.isPending}>
          Evaluate
        </Button>
      </div>
    </form>
  );
}
