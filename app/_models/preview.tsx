"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { ChevronRight } from "lucide-react";
import Link from "next/link";
import type { ModelPreviewView } from "../../server/models/views.ts";
import { ExplainedFact } from "../_ui/explained-fact.tsx";
import { formatBytes, formatCompact, formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Notice } from "../_ui/notice.tsx";
import { Fact, FactColumns } from "../_ui/panel.tsx";
import { ScrollBox } from "../_ui/scroll-area.tsx";
import { modelExplanations, precisions } from "./model-words.ts";

/** What the parameters take in each precision, side by side. */
export function MemoryBars({ memory }: { memory: Record<"f32" | "f16" | "int8", number> }) {
  return (
    <dl className="flex flex-col gap-1.5">
      {precisions.map(([key, label]) => (
        <div key={key} className="grid grid-cols-[3rem_1fr_5.5rem] items-center gap-3">
          <dt className="text-ink-2">{label}</dt>
          <dd aria-hidden className="h-1.5 overflow-hidden rounded-full bg-hover">
            <div
              className="h-full rounded-full bg-chart-1 opacity-85"
              style={{ width: `${(100 * memory[key]) / memory.f32}%` }}
            />
          </dd>
          <dd className="num text-right whitespace-nowrap">{formatBytes(memory[key])}</dd>
        </div>
      ))}
    </dl>
  );
}

function Files({ files }: { files: ModelPreviewView["files"] }) {
  return (
    <Collapsible.Root>
      <Collapsible.Trigger className="group flex items-center gap-1.5 rounded-md py-0.5 text-xs text-ink-2 hover:text-ink">
        <ChevronRight
          aria-hidden
          size={13}
          className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
        />
        {files.length === 1 ? "One file" : `${files.length} files`}
      </Collapsible.Trigger>
      <Collapsible.Panel>
        <ScrollBox label="Files" className="mt-2 max-h-40 rounded-md border border-line">
          <ul className="text-xs">
            {files.map(({ name, bytes }) => (
              <li
                key={name}
                className="num flex justify-between gap-4 border-t border-line px-3 py-1 first:border-t-0"
              >
                <span className="min-w-0 break-all">{name}</span>
                <span className="whitespace-nowrap text-ink-2">{formatBytes(bytes)}</span>
              </li>
            ))}
          </ul>
        </ScrollBox>
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}

/** What an import would bring, and whether it can be had and run. */
export function PreviewResult({ preview }: { preview: ModelPreviewView }) {
  const { supported, reason, gated, sizes, existing, stored, files } = preview;
  const dtypes = Object.entries(stored).toSorted(([, a], [, b]) => b - a);
  return (
    <div className="flex flex-col gap-3">
      {supported ? null : (
        <Notice tone="bad" title="It cannot be imported">
          {reason}
        </Notice>
      )}
      {supported && gated ? (
        <Notice tone="warn" title="Its owner asks for an agreement">
          The files are given to who has accepted the terms on the hub and set that account’s token as
          FACET_HUB_TOKEN.
        </Notice>
      ) : null}
      {existing ? (
        <Notice
          title={
            <>
              It is here already, as{" "}
              <Link href={`/models/${existing.id}`} className="underline underline-offset-2">
                {existing.name}
              </Link>
            </>
          }
        >
          An import makes another copy.
        </Notice>
      ) : null}
      {sizes ? (
        <>
          <FactColumns>
            <Fact name="Type">{preview.model_type ?? "unknown"}</Fact>
            <ExplainedFact name="Parameters" explanation={modelExplanations.parameters}>
              <span className="num">{formatCompact(sizes.parameters)}</span>
            </ExplainedFact>
            <ExplainedFact name="Layers" explanation={modelExplanations.layers}>
              <span className="num">{formatCount(sizes.layers)}</span>
            </ExplainedFact>
            <ExplainedFact name="d_model" explanation={modelExplanations.d_model}>
              <span className="num">{formatCount(sizes.d_model)}</span>
            </ExplainedFact>
            <ExplainedFact name="Context" explanation={modelExplanations.context}>
              <span className="num">{formatCount(sizes.context)} tokens</span>
            </ExplainedFact>
            <ExplainedFact name="Vocabulary" explanation={modelExplanations.vocabulary}>
              <span className="num">{formatCount(sizes.vocabulary)}</span>
            </ExplainedFact>
            <ExplainedFact
              name={preview.source.kind === "hub" ? "Download" : "To copy"}
              explanation={modelExplanations.download}
            >
              <span className="num">{formatBytes(preview.download_bytes)}</span>
            </ExplainedFact>
            <Fact name="Stored as">
              <span className="num">{dtypes.map(([dtype]) => dtype).join(", ") || "unknown"}</span>
            </Fact>
          </FactColumns>
          <div>
            <h3 className="mb-2 flex items-center gap-1.5 text-ink-2">
              Memory
              <InfoTip about="Memory" explanation={modelExplanations.memory} />
            </h3>
            <MemoryBars memory={sizes.memory} />
          </div>
        </>
      ) : null}
      {supported && !preview.tokenizer ? (
        <Notice tone="warn" title="It has no tokenizer.json">
          No dataset can be tokenized for it, so nothing can be captured from it or trained on it. Its hook
          points can be looked at.
        </Notice>
      ) : null}
      {files.length > 0 ? <Files files={files} /> : null}
    </div>
  );
}
