"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { keepPreviousData, useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { ChevronRight, RotateCcw, Trash2, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { CaptureStatus, CaptureView } from "../../server/captures/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Button, IconButton } from "../_ui/button.tsx";
import { ConfirmDialog } from "../_ui/dialog.tsx";
import { formatCompact, formatCount, formatDuration } from "../_ui/format.ts";
import { Panel } from "../_ui/panel.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { TimeAgo } from "../_ui/relative-time.tsx";
import { useToasts } from "../_ui/toasts.tsx";

const busyRefreshMs = 700;
const idleRefreshMs = 15_000;
const open: CaptureStatus[] = ["queued", "running", "failed"];
const ended: CaptureStatus[] = ["done", "canceled"];

function useCaptures(text: string, status: CaptureStatus[], enabled: boolean) {
  const trpc = useTRPC();
  const visible = useVisible();
  return useInfiniteQuery(
    trpc.captures.list.infiniteQueryOptions(
      { ...(text ? { text } : {}), status, limit: 20 },
      {
        enabled,
        getNextPageParam: (page) => page.next_cursor,
        placeholderData: keepPreviousData,
        refetchInterval: (query) => {
          if (!visible) return false;
          const busy = query.state.data?.pages.some(({ items }) =>
            items.some((one) => one.status === "queued" || one.status === "running"),
          );
          return busy ? busyRefreshMs : idleRefreshMs;
        },
      },
    ),
  );
}

/** Hook points in a line, the first few of many. */
function Hooks({ hooks }: { hooks: readonly string[] }) {
  const shown = hooks.slice(0, 3);
  return (
    <span title={hooks.join("\n")}>
      <span className="num">{shown.join(", ")}</span>
      {hooks.length > shown.length ? ` and ${hooks.length - shown.length} more` : ""}
    </span>
  );
}

function UnderWay({ capture }: { capture: CaptureView }) {
  const { status, progress, name } = capture;
  const total = progress?.total ?? null;
  const rate = progress?.per_second ?? null;
  const left = total !== null && rate ? (total - (progress?.done ?? 0)) / rate : null;
  return (
    <div className="mt-3 max-w-2xl">
      <div className="mb-1.5 flex flex-wrap justify-between gap-x-4 text-xs text-ink-2">
        <span>
          {status === "queued" ? (
            "Waiting for a worker"
          ) : progress === null ? (
            "Loading the model"
          ) : (
            <span className="num">
              {formatCompact(progress.done)}
              {total === null ? "" : ` of ${formatCompact(total)}`} tokens
            </span>
          )}
        </span>
        {status === "running" && rate !== null ? (
          <span className="num">
            {formatCount(rate)} tokens/s{left === null ? "" : `, ${formatDuration(left)} left`}
          </span>
        ) : null}
      </div>
      <ProgressBar
        label={`Capture of ${name}`}
        value={progress?.done ?? 0}
        max={total ?? 1}
        tone={status === "queued" ? "idle" : "accent"}
      />
    </div>
  );
}

/** What an ended capture came to, in a line. */
function outcome({ status, sets, tokens_per_second, started_at, ended_at }: CaptureView): string {
  if (status === "canceled") return "Canceled; what it had captured was deleted";
  const seconds =
    started_at && ended_at ? Math.max(0, Date.parse(ended_at) - Date.parse(started_at)) / 1_000 : null;
  return [
    `${sets.length} ${sets.length === 1 ? "set" : "sets"}`,
    seconds === null ? null : `in ${formatDuration(seconds)}`,
    tokens_per_second === null ? null : `${formatCount(tokens_per_second)} tokens/s`,
  ]
    .filter(Boolean)
    .join(", ");
}

function useCaptureActs(onChanged: () => Promise<unknown>) {
  const trpc = useTRPC();
  const { succeed, fail } = useToasts();
  const retry = useMutation(
    trpc.captures.retry.mutationOptions({
      onSuccess: onChanged,
      onError: async (error) => {
        fail("The capture was not tried again", error);
        await onChanged();
      },
    }),
  );
  const cancel = useMutation(
    trpc.captures.cancel.mutationOptions({
      onSuccess: async () => {
        succeed("Capture canceled");
        await onChanged();
      },
    }),
  );
  const remove = useMutation(
    trpc.captures.delete.mutationOptions({
      onSuccess: async () => {
        succeed("Capture deleted");
        await onChanged();
      },
    }),
  );
  return { retry, cancel, remove };
}

function CaptureRow({ capture, onChanged }: { capture: CaptureView; onChanged: () => Promise<unknown> }) {
  const { retry, cancel, remove } = useCaptureActs(onChanged);
  const [asking, setAsking] = useState<"cancel" | "delete" | null>(null);
  const { id, name, model, tokenization, hooks, precision, status, reason } = capture;
  const busy = status === "queued" || status === "running";
  const asked = asking === "cancel" ? cancel : remove;
  return (
    <li className="border-t border-line px-4 py-3.5 first:border-t-0">
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-2">
        <div className="min-w-0 flex-1 basis-56">
          <h3 className="truncate font-medium">{name}</h3>
          <p className="text-xs break-words text-ink-3">
            <Hooks hooks={hooks} />
            {` · ${model.name} · ${tokenization.name}`}
            {precision === "f32" ? null : ` · weights in ${precision}`}
          </p>
        </div>
        <div className="flex items-center gap-2">
          {busy ? (
            <Button
              size="small"
              onClick={() => {
                cancel.reset();
                setAsking("cancel");
              }}
            >
              <X aria-hidden size={13} />
              Cancel<span className="sr-only"> {name}</span>
            </Button>
          ) : null}
          {status === "failed" ? (
            <Button size="small" disabled={retry.isPending} onClick={() => retry.mutate({ id })}>
              <RotateCcw aria-hidden size={13} />
              Try again<span className="sr-only">: {name}</span>
            </Button>
          ) : null}
          {busy ? null : (
            <IconButton
              label={`Delete the capture ${name}`}
              onClick={() => {
                remove.reset();
                setAsking("delete");
              }}
            >
              <Trash2 aria-hidden size={14} />
            </IconButton>
          )}
        </div>
      </div>
      {busy ? <UnderWay capture={capture} /> : null}
      {status === "failed" ? (
        <p role="status" className="mt-2 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {reason ?? "The capture failed."}
        </p>
      ) : null}
      {busy || status === "failed" ? null : (
        <p className="mt-1 text-xs text-ink-2">
          {outcome(capture)} · <TimeAgo iso={capture.ended_at ?? capture.created_at} />
        </p>
      )}
      <ConfirmDialog
        open={asking !== null}
        onOpenChange={(next) => !next && setAsking(null)}
        title={asking === "cancel" ? `Cancel “${name}”?` : `Delete the capture “${name}”?`}
        act={asking === "cancel" ? "Cancel the capture" : "Delete"}
        pending={asked.isPending}
        error={asked.error?.message ?? null}
        onConfirm={() => asked.mutate({ id }, { onSuccess: () => setAsking(null) })}
      >
        {asking === "cancel"
          ? "What it has captured so far is deleted."
          : status === "failed"
            ? "What it had captured so far goes with it. To go on from there, try it again instead."
            : "Only the record of it goes; activation sets that it brought to an end stay."}
      </ConfirmDialog>
    </li>
  );
}

/** Captures that wait, go on or failed; below them, folded away, those that have ended. */
export function CaptureList({ text }: { text: string }) {
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const [unfolded, setUnfolded] = useState(false);
  const current = useCaptures(text, open, true);
  const past = useCaptures(text, ended, true);
  const items = current.data?.pages.flatMap((page) => page.items) ?? [];
  const earlier = past.data?.pages.flatMap((page) => page.items) ?? [];
  const total = past.data?.pages[0]?.total ?? 0;

  async function changed() {
    await Promise.all([
      queryClient.invalidateQueries({ queryKey: trpc.captures.list.pathKey() }),
      queryClient.invalidateQueries({ queryKey: trpc.activationSets.list.pathKey() }),
    ]);
  }

  // One that has just ended left sets that the list below does not know of yet.
  const busy = items.filter(({ status }) => status !== "failed").length;
  const before = useRef(busy);
  useEffect(() => {
    if (busy < before.current) {
      void queryClient.invalidateQueries({ queryKey: trpc.activationSets.list.pathKey() });
      void queryClient.invalidateQueries({ queryKey: trpc.captures.list.pathKey() });
    }
    before.current = busy;
  }, [busy, queryClient, trpc]);

  if (current.isError && items.length === 0) {
    return (
      <div className="mb-4">
        <LoadFailure what="The captures" error={current.error} onRetry={() => void current.refetch()} />
      </div>
    );
  }
  if (items.length === 0 && total === 0) return null;
  return (
    <Panel
      {...(items.length > 0 ? { title: "Captures" } : {})}
      flush
      className="mb-4"
      aside={items.length > 0 ? <span className="num text-xs text-ink-3">{items.length}</span> : null}
    >
      {items.length > 0 ? (
        <ul>
          {items.map((capture) => (
            <CaptureRow key={capture.id} capture={capture} onChanged={changed} />
          ))}
        </ul>
      ) : null}
      {current.hasNextPage ? <More query={current} /> : null}
      {total > 0 ? (
        <Collapsible.Root
          open={unfolded}
          onOpenChange={setUnfolded}
          className={items.length > 0 ? "border-t border-line" : ""}
        >
          <Collapsible.Trigger className="group flex w-full items-center gap-2 px-4 py-2.5 text-left text-ink-2 hover:bg-hover/60 focus-visible:-outline-offset-2">
            <ChevronRight
              aria-hidden
              size={14}
              className="shrink-0 text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
            />
            {items.length > 0 ? "Ended" : "Ended captures"}{" "}
            <span className="num text-xs text-ink-3">{formatCount(total)}</span>
          </Collapsible.Trigger>
          <Collapsible.Panel>
            <ul className="border-t border-line">
              {earlier.map((capture) => (
                <CaptureRow key={capture.id} capture={capture} onChanged={changed} />
              ))}
            </ul>
            {past.hasNextPage ? <More query={past} /> : null}
          </Collapsible.Panel>
        </Collapsible.Root>
      ) : null}
    </Panel>
  );
}

function More({ query }: { query: ReturnType<typeof useCaptures> }) {
  return (
    <div className="border-t border-line px-4 py-2 text-right">
      <Button size="small" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        Load more
      </Button>
    </div>
  );
}
