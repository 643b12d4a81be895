"use client";

import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { Rows3, ScanLine, SearchX, Trash2, Upload } from "lucide-react";
import Link from "next/link";
import { useSearchParams } from "next/navigation";
import { useState } from "react";
import type { ActivationSetView } from "../../server/activations/views.ts";
import { importingList } from "../_data/importing-list.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button, buttonClass, IconButton } from "../_ui/button.tsx";
import { CopyText } from "../_ui/copy-text.tsx";
import { ConfirmDialog } from "../_ui/dialog.tsx";
import { formatBytes, formatCount, formatMetric, formatPercent, noValue } from "../_ui/format.ts";
import { ListEnd } from "../_ui/list-parts.tsx";
import { EmptyState, PageHeader } from "../_ui/panel.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { SearchBox } from "../_ui/search-box.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { CaptureDialog } from "./capture-dialog.tsx";
import { CaptureList } from "./capture-list.tsx";
import { ImportDialog } from "./import-dialog.tsx";

function Value({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="min-w-0">
      <dt className="text-xs text-ink-3">{name}</dt>
      <dd className="num truncate">{children}</dd>
    </div>
  );
}

/** What the activations are of; of a captured set with the way to its model. */
function Origin({ set }: { set: ActivationSetView }) {
  const { model_id, model_name, dataset_name } = set;
  return (
    <>
      {model_name ? " · " : ""}
      {model_id && model_name ? (
        <Link href={`/models/${model_id}`} className="hover:text-ink hover:underline">
          {model_name}
        </Link>
      ) : (
        model_name
      )}
      {dataset_name ? ` · ${dataset_name}` : ""}
    </>
  );
}

function SetRow({ set, onDelete }: { set: ActivationSetView; onDelete: () => void }) {
  return (
    <li className="border-t border-line px-4 py-3.5 first:border-t-0">
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-2">
        <div className="min-w-0 flex-1 basis-56">
          <h2 className="truncate font-medium">{set.name}</h2>
          <p className="truncate text-xs text-ink-3">
            <span className="num">{set.hook_name}</span>
            <Origin set={set} />
          </p>
        </div>
        <div className="flex items-center gap-2">
          {set.status === "ready" ? (
            <Link href={`/runs/new?set=${set.id}`} className={buttonClass("plain", "small")}>
              Train on this
            </Link>
          ) : null}
          <IconButton label={`Delete ${set.name}`} onClick={onDelete}>
            <Trash2 aria-hidden size={14} />
          </IconButton>
        </div>
      </div>
      {set.status === "importing" ? (
        <div className="mt-3 max-w-md">
          <div className="mb-1.5 flex justify-between text-xs text-ink-2">
            <span>Importing</span>
            <span className="num">{formatPercent(set.progress, 0)}</span>
          </div>
          <ProgressBar label={`Import of ${set.name}`} value={set.progress} max={1} />
        </div>
      ) : null}
      {set.status === "failed" ? (
        <p className="mt-2 rounded-md bg-bad-soft px-3 py-2 text-bad">
          {set.reason ?? "The import failed."} Delete it and import the file again.
        </p>
      ) : null}
      {set.status === "ready" ? (
        <dl className="mt-2.5 grid grid-cols-2 gap-x-6 gap-y-2 sm:grid-cols-3 lg:grid-cols-[1.4fr_0.8fr_0.6fr_0.8fr_0.9fr_0.5fr_0.6fr_1.3fr]">
          <Value name="Tokens × d_in">
            {formatCount(set.n_tokens ?? 0)} × {formatCount(set.d_in ?? 0)}
          </Value>
          <Value name="Held out">
            {set.held_out_tokens === null ? noValue : formatCount(set.held_out_tokens)}
          </Value>
          <Value name="Type">{set.source_dtype ?? noValue}</Value>
          <Value name="Mean norm">{formatMetric(set.mean_norm)}</Value>
          <Value name="Size">{formatBytes(set.bytes ?? 0)}</Value>
          <Value name="Runs">{formatCount(set.runs)}</Value>
          <Value name="Age">
            <RelativeTime iso={set.created_at} />
          </Value>
          <Value name="SHA-256">
            {set.sha256 ? (
              <span className="-my-1 block">
                <CopyText label="hash" text={set.sha256} shown={`${set.sha256.slice(0, 12)}…`} />
              </span>
            ) : (
              noValue
            )}
          </Value>
        </dl>
      ) : null}
    </li>
  );
}

function useSets(text: string) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.activationSets.list.infiniteQueryOptions(
      { ...(text ? { text } : {}), limit: 50 },
      importingList(visible),
    ),
  );
}

/** What another page asks to be captured: `?capture=1`, with `model`, `tokenization` and `hook` where they are known. */
function useAsked() {
  const params = useSearchParams();
  return {
    open: params.has("capture"),
    given: {
      model_id: params.get("model"),
      tokenization_id: params.get("tokenization"),
      ...(params.has("hook") ? { hooks: params.getAll("hook") } : {}),
    },
  };
}

/** The captures, and the sets that they and imports left: what they are, and what can be done with them. */
export function SetList() {
  const trpc = useTRPC();
  const { succeed } = useToasts();
  const asked = useAsked();
  const [text, setText] = useState("");
  const [importing, setImporting] = useState(false);
  const [capturing, setCapturing] = useState(asked.open);
  const [doomed, setDoomed] = useState<ActivationSetView | null>(null);
  const sets = useSets(text);
  const found = sets.data?.pages.flatMap((page) => page.items) ?? [];
  // A set that is still being captured, or whose capture failed, is shown with its capture.
  const items = found.filter((set) => set.status === "ready" || set.capture_id === null);
  const total = (sets.data?.pages[0]?.total ?? 0) - (found.length - items.length);
  const remove = useMutation(
    trpc.activationSets.delete.mutationOptions({
      onSuccess: async () => {
        succeed("Activation set deleted");
        setDoomed(null);
        await sets.refetch();
      },
    }),
  );
  const buttons = (
    <>
      <Button onClick={() => setImporting(true)}>
        <Upload aria-hidden size={14} />
        Import activations
      </Button>
      <Button look="primary" onClick={() => setCapturing(true)}>
        <ScanLine aria-hidden size={14} />
        Capture activations
      </Button>
    </>
  );
  const some = found.length > 0 || text !== "";
  return (
    <>
      <PageHeader title="Activations" actions={some ? buttons : null} />
      {some ? (
        <SearchBox
          label="Search activation sets"
          value={text}
          onChange={setText}
          className="mb-3 w-full sm:w-64"
        />
      ) : null}
      <CaptureList text={text} />
      {sets.isError && items.length === 0 ? (
        <LoadFailure what="The activation sets" error={sets.error} onRetry={() => void sets.refetch()} />
      ) : (
        <div className="overflow-hidden rounded-lg border border-line bg-surface">
          {sets.isPending ? (
            <SkeletonRows rows={3} />
          ) : items.length > 0 ? (
            <ul>
              {items.map((set) => (
                <SetRow
                  key={set.id}
                  set={set}
                  onDelete={() => {
                    remove.reset();
                    setDoomed(set);
                  }}
                />
              ))}
            </ul>
          ) : found.length > 0 ? (
            <p className="px-4 py-3.5 text-ink-2">Sets come here when their capture is done.</p>
          ) : text ? (
            <EmptyState icon={<SearchX aria-hidden size={22} />} title="No set matches">
              Search looks in names, hook points, models and datasets.
            </EmptyState>
          ) : (
            <EmptyState
              icon={<Rows3 aria-hidden size={22} />}
              title="No activation sets yet"
              action={buttons}
            >
              A set holds one hook point’s activations over many tokens. Capture them from a language model,
              or import a safetensors file with a tensor{" "}
              <code className="num">activations [n_tokens, d_in]</code>; then train on it.
            </EmptyState>
          )}
        </div>
      )}
      <ListEnd
        shown={items.length}
        total={total}
        more={sets.hasNextPage}
        loading={sets.isFetchingNextPage}
        onMore={() => void sets.fetchNextPage()}
      />
      <ImportDialog open={importing} onOpenChange={setImporting} onImported={() => void sets.refetch()} />
      <CaptureDialog
        open={capturing}
        onOpenChange={setCapturing}
        given={asked.given}
        onBegun={() => succeed("Capture begun", "It shows its progress above the sets.")}
      />
      <ConfirmDialog
        open={doomed !== null}
        onOpenChange={(open) => !open && setDoomed(null)}
        title={`Delete ${doomed?.name ?? "the set"}?`}
        act="Delete"
        pending={remove.isPending}
        error={remove.error?.message ?? null}
        onConfirm={() => doomed && remove.mutate({ id: doomed.id })}
      >
        Its {formatBytes(doomed?.bytes ?? 0)} of stored activations go with it.{" "}
        {doomed?.model_id
          ? "They can be captured again from the same model and tokens."
          : "The file it was imported from stays."}
      </ConfirmDialog>
    </>
  );
}
