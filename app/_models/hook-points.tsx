"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { ChevronRight, SearchX } from "lucide-react";
import Link from "next/link";
import { useMemo, useState } from "react";
import { type BlockHook, hookLayouts } from "../../gpu/lm/hook-points.ts";
import type { Layout } from "../../gpu/lm/layout.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import { hookMatches } from "../_activations/hook-choice.ts";
import { HookName } from "../_activations/hook-name.tsx";
import { CopyText } from "../_ui/copy-text.tsx";
import { formatCount } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { EmptyState, Panel } from "../_ui/panel.tsx";
import { SearchBox } from "../_ui/search-box.tsx";
import { hookWords } from "./hook-words.ts";

interface Point {
  name: string;
  layout: Layout;
  words: string;
}

interface Group {
  label: string;
  points: Point[];
}

const wordsOf = new Map(Object.entries(hookWords) as [BlockHook, string][]);

/** Hook points by block, in the order in which a pass comes by. */
function groupsOf(spec: ModelSpec): Group[] {
  const groups = new Map<string, Point[]>();
  for (const [name, layout] of hookLayouts(spec)) {
    const found = /^blocks\.(\d+)\.(.+)$/.exec(name);
    const label = found === null ? "Before the blocks" : `Block ${found[1]}`;
    const words = found === null ? "Token embeddings" : (wordsOf.get(found[2] as BlockHook) ?? "");
    const points = groups.get(label) ?? [];
    points.push({ name, layout, words });
    groups.set(label, points);
  }
  return Array.from(groups, ([label, points]) => ({ label, points }));
}

/** The shape that a sequence gives: [pos, d_model], or [pos, heads, d_head]. */
function shapeOf({ groups, size }: Layout): string {
  return groups === 1 ? `[pos, ${formatCount(size)}]` : `[pos, ${formatCount(groups)}, ${formatCount(size)}]`;
}

function PointRow({ point, modelId }: { point: Point; modelId: string }) {
  const { name, layout, words } = point;
  const hook = `model=${modelId}&hook=${encodeURIComponent(name)}`;
  const way = "rounded text-xs text-ink-2 hover:text-accent";
  return (
    <tr className="border-t border-line/70 transition-colors duration-75 hover:bg-hover/60">
      <th scope="row" className="py-1.5 pr-3 pl-10 font-normal max-sm:pl-4">
        <CopyText label={`the name ${name}`} text={name} shown={<HookName name={name} />} />
        <span className="block text-xs text-ink-3">
          {words}
          <span className="num whitespace-nowrap sm:hidden"> {shapeOf(layout)}</span>
        </span>
      </th>
      <td className="num px-3 py-1.5 text-right text-xs whitespace-nowrap text-ink-2 max-sm:hidden">
        {shapeOf(layout)}
      </td>
      <td className="w-0 py-1.5 pr-4 pl-3 text-right whitespace-nowrap">
        <span className="inline-flex gap-x-4 gap-y-2 max-sm:flex-col max-sm:items-end">
          <Link href={`/activations?capture=1&${hook}`} className={way}>
            Capture<span className="sr-only"> {name}</span>
          </Link>
          <Link href={`/runs/new?${hook}`} className={way}>
            Train<span className="sr-only"> on {name}</span>
          </Link>
        </span>
      </td>
    </tr>
  );
}

function Block({
  group,
  modelId,
  open,
  onOpenChange,
}: {
  group: Group;
  modelId: string;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}) {
  return (
    <Collapsible.Root
      open={open}
      onOpenChange={onOpenChange}
      className="border-t border-line first:border-t-0"
    >
      <Collapsible.Trigger className="group flex w-full items-center gap-2 px-4 py-2 text-left hover:bg-hover/60 focus-visible:-outline-offset-2">
        <ChevronRight
          aria-hidden
          size={14}
          className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
        />
        <span className="font-medium">{group.label}</span>
        <span className="num ml-auto text-xs text-ink-3">{group.points.length}</span>
      </Collapsible.Trigger>
      <Collapsible.Panel>
        <table className="w-full text-left">
          <thead className="sr-only">
            <tr>
              <th scope="col">Hook point</th>
              <th scope="col">Shape</th>
              <th scope="col">What to do with it</th>
            </tr>
          </thead>
          <tbody>
            {group.points.map((point) => (
              <PointRow key={point.name} point={point} modelId={modelId} />
            ))}
          </tbody>
        </table>
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}

/** Where a model's activations can be read: by block, narrowed by a search that opens what it finds. */
export function HookPoints({ spec, modelId }: { spec: ModelSpec; modelId: string }) {
  const [query, setQuery] = useState("");
  const groups = useMemo(() => groupsOf(spec), [spec]);
  const [opened, setOpened] = useState<ReadonlySet<string>>(
    () => new Set([groups[0]?.label, groups[1]?.label].filter((label) => label !== undefined)),
  );
  const wanted = query.trim();
  const shown = groups
    .map(({ label, points }) => ({
      label,
      points: points.filter(({ name }) => hookMatches(name, wanted)),
    }))
    .filter(({ points }) => points.length > 0);
  const total = groups.reduce((sum, { points }) => sum + points.length, 0);
  const found = shown.reduce((sum, { points }) => sum + points.length, 0);
  return (
    <Panel
      flush
      title={
        <span className="flex items-center gap-1.5">
          Hook points
          <InfoTip
            about="Hook points"
            explanation={{
              help: "Places in the model whose activations can be captured or trained on, by TransformerLens’ names, with the shape that one sequence gives.",
              source: "TransformerLens",
            }}
          />
        </span>
      }
      aside={
        <span className="num text-xs text-ink-3">
          {wanted === "" ? formatCount(total) : `${formatCount(found)} of ${formatCount(total)}`}
        </span>
      }
    >
      <div className="border-b border-line p-3">
        <SearchBox label="Filter hook points" value={query} onChange={setQuery} />
      </div>
      {shown.length === 0 ? (
        <EmptyState icon={<SearchX aria-hidden size={22} />} title="The model has no such hook point">
          Try “resid post”, “mlp” or a block’s number.
        </EmptyState>
      ) : (
        shown.map((group) => (
          <Block
            key={group.label}
            group={group}
            modelId={modelId}
            open={wanted !== "" || opened.has(group.label)}
            onOpenChange={(open) => {
              const next = new Set(opened);
              if (open) next.add(group.label);
              else next.delete(group.label);
              setOpened(next);
            }}
          />
        ))
      )}
    </Panel>
  );
}
