"use client";

import { useQuery } from "@tanstack/react-query";
import { Plus, Trash2, Upload } from "lucide-react";
import Link from "next/link";
import { useEffect, useState } from "react";
import { type Architecture, isTranscoder } from "../../gpu/sae/architecture.ts";
import type { ActivationSetView } from "../../server/activations/views.ts";
import { ImportDialog } from "../_activations/import-dialog.tsx";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { Button, buttonClass, IconButton } from "../_ui/button.tsx";
import { EmptyState } from "../_ui/panel.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { mostPlaces, placeNames } from "./places.ts";
import { SetPicker, SetTable } from "./set-picker.tsx";

/** Chosen sets by place; null where none is chosen yet. */
export type ChosenSets = readonly (ActivationSetView | null)[];

const importingRefreshMs = 700;
/** As many places as an architecture needs, with what is chosen kept. */
export function placesFor(architecture: Architecture, chosen: ChosenSets): ChosenSets {
  const wanted =
    architecture === "crosscoder" ? Math.max(2, chosen.length) : isTranscoder(architecture) ? 2 : 1;
  return Array.from({ length: wanted }, (_, at) => chosen[at] ?? null);
}

/** Whether two sets may stand side by side: two different ones of as many rows, for a crosscoder of one width. */
function fitTogether(architecture: Architecture, one: ActivationSetView, other: ActivationSetView): boolean {
  return (
    one.id !== other.id &&
    one.n_tokens === other.n_tokens &&
    (architecture !== "crosscoder" || one.d_in === other.d_in)
  );
}

/** Of the chosen sets the first, and those that fit beside it; the places of the others are open again. */
export function keptSets(architecture: Architecture, chosen: ChosenSets): ChosenSets {
  const places = placesFor(architecture, architecture === "crosscoder" ? chosen : chosen.slice(0, 2));
  const [first] = places;
  return places.map((set, at) =>
    at > 0 && set && first && !fitTogether(architecture, set, first) ? null : set,
  );
}

/** Hook names of an MLP's (or a block's) input and output, for a transcoder's two places. */
const likely = [/mlp_in|ln2|resid_mid|_in$/, /_out$/] as const;

/** Sets that may stand beside the others and are not chosen yet, the likeliest first. */
function fitting(
  items: readonly ActivationSetView[],
  architecture: Architecture,
  chosen: ChosenSets,
  place: number,
): ActivationSetView[] {
  const first = chosen.find((set, at) => set !== null && at !== place);
  const fits = items.filter(
    (set) =>
      set.status === "ready" &&
      !chosen.some((other, at) => at !== place && other?.id === set.id) &&
      (!first || fitTogether(architecture, set, first)),
  );
  const hint = isTranscoder(architecture) ? likely[place] : undefined;
  if (!hint) return fits;
  return [
    ...fits.filter(({ hook_name }) => hint.test(hook_name)),
    ...fits.filter(({ hook_name }) => !hint.test(hook_name)),
  ];
}

/** Chooses the sets that an architecture trains on, or imports them and chooses those. */
export function SourceSets({
  architecture,
  chosen,
  wanted,
  faults,
  onChoose,
}: {
  architecture: Architecture;
  chosen: ChosenSets;
  /** Ids to choose once the sets are known, by place. */
  wanted: readonly string[];
  /** What is wrong, by place. */
  faults: ReadonlyMap<string, string>;
  onChoose: (sets: ChosenSets) => void;
}) {
  const trpc = useTRPC();
  const [importingFor, setImportingFor] = useState<number | null>(null);
  const [awaited, setAwaited] = useState<ReadonlyMap<number, string>>(
    () => new Map([...wanted.entries()].filter(([place]) => !chosen[place])),
  );
  const sets = useQuery(
    trpc.activationSets.list.queryOptions(
      { limit: 200 },
      {
        refetchInterval: (query) =>
          query.state.data?.items.some(({ status }) => status === "importing") ? importingRefreshMs : false,
      },
    ),
  );
  const items = sets.data?.items;

  useEffect(() => {
    if (!items) return;
    const filled = [...chosen];
    const open = new Map(awaited);
    for (const place of filled.keys()) {
      const id = open.get(place);
      const set = id
        ? items.find((item) => item.id === id && item.status === "ready")
        : filled[place] === null
          ? fitting(items, architecture, filled, place)[0]
          : undefined;
      if (!set) continue;
      filled[place] = set;
      open.delete(place);
    }
    if (filled.some((set, place) => set !== chosen[place])) onChoose(filled);
    if (open.size !== awaited.size) setAwaited(open);
  }, [items, awaited, chosen, architecture, onChoose]);

  if (sets.isError) {
    return (
      <div className="p-4">
        <LoadFailure what="The activation sets" error={sets.error} onRetry={() => void sets.refetch()} />
      </div>
    );
  }
  if (!items) return <Skeleton className="m-4 h-8" />;
  const dialog = (
    <ImportDialog
      open={importingFor !== null}
      onOpenChange={(open) => {
        if (!open) setImportingFor(null);
      }}
      onImported={(id) => {
        setAwaited(new Map(awaited).set(importingFor ?? 0, id));
        void sets.refetch();
      }}
    />
  );
  if (items.length === 0) {
    return (
      <>
        <EmptyState
          title="No activation sets yet"
          action={
            <>
              <Button look="primary" onClick={() => setImportingFor(0)}>
                <Upload aria-hidden size={14} />
                Import activations
              </Button>
              <Link href="/activations?capture=1" className={buttonClass("plain")}>
                Capture activations
              </Link>
            </>
          }
        >
          A set is captured from a language model, or is a safetensors file with a tensor{" "}
          <code className="num">activations [n_tokens, d_in]</code>.
        </EmptyState>
        {dialog}
      </>
    );
  }
  const names = placeNames(architecture, chosen.length, "Activation set");
  const underWay = items.filter(
    ({ id, status }) => status === "importing" && [...awaited.values()].includes(id),
  );
  return (
    <div className="p-4">
      <div className="flex flex-col gap-3">
        {names.map((name, place) => (
          <div key={name} className="flex items-start gap-2">
            <SetPicker
              label={name}
              items={items}
              chosen={chosen[place] ?? null}
              fault={faults.get(String(place))}
              nothingFits={
                chosen[place] === null && fitting(items, architecture, chosen, place).length === 0
                  ? missing(architecture, chosen)
                  : null
              }
              onChoose={(set) => {
                const open = new Map(awaited);
                open.delete(place);
                setAwaited(open);
                const next = chosen.map((one, at) => (at === place ? set : one));
                // The first one leads: what does not fit beside it gives way.
                onChoose(place === 0 ? keptSets(architecture, next) : next);
              }}
            />
            <Button className="mt-6" onClick={() => setImportingFor(place)}>
              <Upload aria-hidden size={14} />
              Import<span className="sr-only"> for {name}</span>
            </Button>
            {architecture === "crosscoder" && chosen.length > 2 ? (
              <IconButton
                label={`Remove ${name}`}
                className="mt-6 size-8"
                onClick={() => onChoose(chosen.filter((_, at) => at !== place))}
              >
                <Trash2 aria-hidden size={14} />
              </IconButton>
            ) : null}
          </div>
        ))}
        {architecture === "crosscoder" && chosen.length < mostPlaces ? (
          <div>
            <Button size="small" onClick={() => onChoose([...chosen, null])}>
              <Plus aria-hidden size={13} />
              Add a hook point
            </Button>
          </div>
        ) : null}
        {faults.get("") ? <p className="text-xs text-bad">{faults.get("")}</p> : null}
      </div>
      {underWay.map((set) => (
        <div key={set.id} className="mt-4">
          <p className="mb-1.5 text-xs text-ink-2">
            {set.capture_id === null ? "Importing" : "Capturing"} {set.name}
          </p>
          <ProgressBar
            label={`${set.capture_id === null ? "Import" : "Capture"} of ${set.name}`}
            value={set.progress}
            max={1}
          />
        </div>
      ))}
      <SetTable names={names} sets={chosen} />
      {dialog}
    </div>
  );
}

function missing(architecture: Architecture, chosen: ChosenSets): string | null {
  const first = chosen.find((set) => set !== null);
  if (!first) return null;
  const rows = (first.n_tokens ?? 0).toLocaleString("en");
  const width = architecture === "crosscoder" ? ` of width ${first.d_in}` : "";
  return `No other set has the ${rows} rows${width} of “${first.name}”. Import the activations of the same tokens at the other hook point.`;
}
