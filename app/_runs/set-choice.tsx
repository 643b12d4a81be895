"use client";

import { useQuery } from "@tanstack/react-query";
import { Upload } from "lucide-react";
import { useEffect, useState } from "react";
import type { ActivationSetView } from "../../server/activations/views.ts";
import { ImportDialog } from "../_activations/import-dialog.tsx";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { SelectBox } from "../_ui/choice.tsx";
import { formatBytes, formatCompact, formatCount, formatMetric } from "../_ui/format.ts";
import { EmptyState, Fact } from "../_ui/panel.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { FieldFrame } from "../_ui/text-field.tsx";

const importingRefreshMs = 700;

function detail(set: ActivationSetView): string {
  if (set.status === "importing") return `importing, ${Math.round(set.progress * 100)} %`;
  if (set.status === "failed") return "import failed";
  return `${formatCompact(set.n_tokens ?? 0)} × ${formatCount(set.d_in ?? 0)} · ${set.hook_name}`;
}

/** Chooses an activation set, or imports one and chooses it. */
export function SetChoice({
  chosen,
  wanted,
  fault,
  onChoose,
}: {
  chosen: ActivationSetView | null;
  /** Id to choose once the sets are known. */
  wanted: string | null;
  fault: string | undefined;
  onChoose: (set: ActivationSetView) => void;
}) {
  const trpc = useTRPC();
  const [importing, setImporting] = useState(false);
  const [awaited, setAwaited] = useState(wanted);
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
    const found = awaited
      ? items.find(({ id }) => id === awaited)
      : chosen
        ? undefined
        : items.find(({ status }) => status === "ready");
    if (found && found.status === "ready") {
      setAwaited(null);
      onChoose(found);
    }
  }, [items, awaited, chosen, onChoose]);

  if (sets.isError) {
    return (
      <div className="p-4">
        <LoadFailure what="The activation sets" error={sets.error} onRetry={() => void sets.refetch()} />
      </div>
    );
  }
  const underWay = awaited
    ? items?.find(({ id, status }) => id === awaited && status === "importing")
    : undefined;
  const dialog = (
    <ImportDialog
      open={importing}
      onOpenChange={setImporting}
      onImported={(id) => {
        setAwaited(id);
        void sets.refetch();
      }}
    />
  );
  if (!items) return <Skeleton className="m-4 h-8" />;
  if (items.length === 0) {
    return (
      <>
        <EmptyState
          title="No activation sets yet"
          action={
            <Button look="primary" onClick={() => setImporting(true)}>
              <Upload aria-hidden size={14} />
              Import activations
            </Button>
          }
        >
          A set is a safetensors file with a tensor <code className="num">activations [n_tokens, d_in]</code>.
        </EmptyState>
        {dialog}
      </>
    );
  }
  return (
    <div className="p-4">
      <div className="flex items-end gap-2">
        <FieldFrame id="activation-set" label="Activation set" fault={fault} className="flex-1">
          <SelectBox
            id="activation-set"
            value={chosen?.id ?? null}
            placeholder="Choose a set"
            invalid={Boolean(fault)}
            choices={items.map((set) => ({ value: set.id, label: set.name, detail: detail(set) }))}
            onChange={(id) => {
              const set = items.find((item) => item.id === id);
              setAwaited(null);
              if (set) onChoose(set);
            }}
          />
        </FieldFrame>
        <Button onClick={() => setImporting(true)}>
          <Upload aria-hidden size={14} />
          Import
        </Button>
      </div>
      {underWay ? (
        <div className="mt-4">
          <p className="mb-1.5 text-xs text-ink-2">Importing {underWay.name}</p>
          <ProgressBar label={`Import of ${underWay.name}`} value={underWay.progress} max={1} />
        </div>
      ) : null}
      {chosen ? (
        <dl className="mt-4 grid gap-x-8 sm:grid-cols-2">
          <Fact name="Activations">
            <span className="num">
              {formatCount(chosen.n_tokens ?? 0)} × {formatCount(chosen.d_in ?? 0)}
            </span>
          </Fact>
          <Fact name="Hook point">
            <span className="num">{chosen.hook_name}</span>
          </Fact>
          <Fact name="Mean norm">
            <span className="num">{formatMetric(chosen.mean_norm)}</span>
          </Fact>
          <Fact name="Size">
            <span className="num">
              {formatBytes(chosen.bytes ?? 0)} {chosen.source_dtype}
            </span>
          </Fact>
        </dl>
      ) : null}
      {dialog}
    </div>
  );
}
