"use client";

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type RefObject, useEffect, useRef, useState } from "react";
import type { DocumentView } from "../../server/datasets/views.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { formatCount } from "../_ui/format.ts";
import { Pager } from "../_ui/pager.tsx";
import { Panel } from "../_ui/panel.tsx";
import { SearchBox } from "../_ui/search-box.tsx";
import { SkeletonRows } from "../_ui/skeleton.tsx";
import { FoundDocuments } from "./found-documents.tsx";

const together = 10;
/** Characters of a document that are shown at first, and when it is opened. */
const atFirst = 600;
const opened = 100_000;

function Meta({ meta }: { meta: DocumentView["meta"] }) {
  const entries = Object.entries(meta ?? {}).filter(([, value]) => value !== null && value !== "");
  if (entries.length === 0) return null;
  return (
    <dl className="mt-1.5 flex flex-wrap gap-x-4 text-xs">
      {entries.map(([key, value]) => (
        <div key={key} className="flex max-w-full min-w-0 gap-1.5">
          <dt className="text-ink-3">{key}</dt>
          <dd className="max-w-80 truncate text-ink-2" title={String(value)}>
            {String(value)}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Whether an element has more lines than are shown of it, at the width that it has now. */
function useClamped(): [RefObject<HTMLParagraphElement | null>, boolean] {
  const element = useRef<HTMLParagraphElement>(null);
  const [clamped, setClamped] = useState(false);
  useEffect(() => {
    const shown = element.current;
    if (shown === null) return;
    const look = new ResizeObserver(() => setClamped(shown.scrollHeight > shown.clientHeight + 1));
    look.observe(shown);
    return () => look.disconnect();
  }, []);
  return [element, clamped];
}

function Document({ datasetId, document }: { datasetId: string; document: DocumentView }) {
  const trpc = useTRPC();
  const [open, setOpen] = useState(false);
  const whole = useQuery(
    trpc.datasets.documents.queryOptions(
      { id: datasetId, start: document.index, count: 1, length: opened },
      { enabled: open && document.truncated, staleTime: Number.POSITIVE_INFINITY },
    ),
  );
  const shown = (open ? whole.data?.documents[0] : undefined) ?? document;
  const [text, clamped] = useClamped();
  const long = document.truncated || clamped || open;
  return (
    <li className="border-t border-line px-4 py-3 first:border-t-0">
      <div className="mb-1 flex items-baseline justify-between gap-4 text-xs text-ink-3">
        <h3 className="num">#{formatCount(document.index)}</h3>
        <span className="num">{formatCount(document.characters)} characters</span>
      </div>
      <p
        ref={text}
        className={classNames("max-w-[90ch] break-words whitespace-pre-wrap", !open && "line-clamp-4")}
      >
        {shown.text}
        {open && shown.truncated ? <span className="text-ink-3"> …</span> : null}
      </p>
      {whole.isError ? (
        <p role="alert" className="mt-1 text-xs text-bad">
          The rest could not be loaded: {whole.error.message}
        </p>
      ) : null}
      <Meta meta={document.meta} />
      {long ? (
        <button
          type="button"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
          className="mt-1 rounded text-xs text-accent hover:text-accent-strong"
        >
          {open ? "Show less" : whole.isFetching ? "Loading…" : "Show all"}
          <span className="sr-only"> of document {formatCount(document.index)}</span>
        </button>
      ) : null}
    </li>
  );
}

/** The documents of a dataset: gone through by number, or found by a text in them. */
export function Documents({ id, total }: { id: string; total: number }) {
  const trpc = useTRPC();
  const [start, setStart] = useState(0);
  const [text, setText] = useState("");
  const searching = text !== "";
  const page = useQuery(
    trpc.datasets.documents.queryOptions(
      { id, start, count: together, length: atFirst },
      { enabled: !searching, placeholderData: keepPreviousData, staleTime: Number.POSITIVE_INFINITY },
    ),
  );
  const documents = page.data?.documents ?? [];
  return (
    <Panel
      title="Documents"
      flush
      aside={
        searching ? (
          <Button size="small" look="ghost" onClick={() => setText("")}>
            Back to all
          </Button>
        ) : (
          <Pager
            what="document"
            start={start}
            shown={page.isPlaceholderData ? Math.min(together, total - start) : documents.length}
            total={total}
            step={together}
            onGo={setStart}
          />
        )
      }
    >
      <div className="p-3">
        <SearchBox label="Search the documents" value={text} onChange={setText} />
      </div>
      <div className="border-t border-line">
        {searching ? (
          <FoundDocuments
            key={text}
            id={id}
            text={text}
            total={total}
            onShow={(index) => {
              setText("");
              setStart(index);
            }}
          />
        ) : page.isError ? (
          <div className="p-4">
            <LoadFailure what="The documents" error={page.error} onRetry={() => void page.refetch()} />
          </div>
        ) : page.isPending ? (
          <SkeletonRows rows={5} />
        ) : (
          <ul className={classNames("transition-opacity", page.isPlaceholderData && "opacity-60")}>
            {documents.map((document) => (
              <Document key={document.index} datasetId={id} document={document} />
            ))}
          </ul>
        )}
      </div>
    </Panel>
  );
}
