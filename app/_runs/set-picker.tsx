"use client";

import { useId } from "react";
import type { ActivationSetView } from "../../server/activations/views.ts";
import { SelectBox } from "../_ui/choice.tsx";
import { formatBytes, formatCompact, formatCount, formatMetric } from "../_ui/format.ts";
import { Fact, FactColumns } from "../_ui/panel.tsx";
import { FieldFrame } from "../_ui/text-field.tsx";

function detail(set: ActivationSetView): string {
  const [doing, done] = set.capture_id === null ? ["importing", "import"] : ["capturing", "capture"];
  if (set.status === "importing") return `${doing}, ${Math.round(set.progress * 100)} %`;
  if (set.status === "failed") return `${done} failed`;
  return `${formatCompact(set.n_tokens ?? 0)} × ${formatCount(set.d_in ?? 0)} · ${set.hook_name}`;
}

/** Chooses one of the activation sets. */
export function SetPicker({
  label,
  items,
  chosen,
  fault,
  nothingFits,
  onChoose,
}: {
  label: string;
  items: readonly ActivationSetView[];
  chosen: ActivationSetView | null;
  fault: string | undefined;
  /** Why none can be chosen, where that is so. */
  nothingFits: string | null;
  onChoose: (set: ActivationSetView) => void;
}) {
  const id = useId();
  const note = fault ?? nothingFits;
  return (
    <FieldFrame id={id} label={label} fault={fault} hint={nothingFits} className="min-w-0 flex-1">
      <SelectBox
        id={id}
        value={chosen?.id ?? null}
        placeholder="Choose a set"
        invalid={Boolean(fault)}
        describedBy={note ? `${id}-note` : undefined}
        choices={items.map((set) => ({ value: set.id, label: set.name, detail: detail(set) }))}
        onChange={(chosenId) => {
          const set = items.find((item) => item.id === chosenId);
          if (set) onChoose(set);
        }}
      />
    </FieldFrame>
  );
}

/** What the chosen sets hold: facts of one, a row each of several. */
export function SetTable({
  names,
  sets,
}: {
  names: readonly string[];
  sets: readonly (ActivationSetView | null)[];
}) {
  const [first] = sets;
  if (sets.length === 1) {
    return first ? (
      <FactColumns className="mt-4">
        <Fact name="Activations">
          <span className="num">
            {formatCount(first.n_tokens ?? 0)} × {formatCount(first.d_in ?? 0)}
          </span>
        </Fact>
        <Fact name="Hook point">
          <span className="num">{first.hook_name}</span>
        </Fact>
        {first.held_out_tokens === null ? (
          <Fact name="Mean norm">
            <span className="num">{formatMetric(first.mean_norm)}</span>
          </Fact>
        ) : (
          <Fact name="Held out">
            <span className="num">{formatCount(first.held_out_tokens)}</span>
            <span className="text-xs text-ink-3"> tokens</span>
          </Fact>
        )}
        <Fact name="Size">
          <span className="num">
            {formatBytes(first.bytes ?? 0)} {first.source_dtype}
          </span>
        </Fact>
      </FactColumns>
    ) : null;
  }
  const rows = sets.flatMap((set, place) => (set ? [{ set, name: names[place] ?? "" }] : []));
  if (rows.length === 0) return null;
  return (
    <div className="mt-4">
      <table className="w-full text-left">
        <caption className="sr-only">Chosen sets</caption>
        <thead className="text-xs whitespace-nowrap text-ink-3">
          <tr>
            <th scope="col" className="pb-1 font-normal">
              <span className="sr-only">Place</span>
            </th>
            <th scope="col" className="px-3 pb-1 text-right font-normal">
              Tokens × width
            </th>
            <th scope="col" className="px-3 pb-1 font-normal">
              Hook point
            </th>
            <th scope="col" className="px-3 pb-1 text-right font-normal max-sm:hidden">
              Mean norm
            </th>
            <th scope="col" className="pb-1 pl-3 text-right font-normal max-sm:hidden">
              Size
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ set, name }) => (
            <tr key={name} className="border-t border-line/70 whitespace-nowrap">
              <th scope="row" className="py-1.5 font-normal text-ink-2">
                {name}
              </th>
              <td className="num px-3 py-1.5 text-right">
                {formatCount(set.n_tokens ?? 0)} × {formatCount(set.d_in ?? 0)}
              </td>
              <td className="num px-3 py-1.5 break-all max-sm:pr-0 max-sm:whitespace-normal">
                {set.hook_name}
              </td>
              <td className="num px-3 py-1.5 text-right max-sm:hidden">{formatMetric(set.mean_norm)}</td>
              <td className="num py-1.5 pl-3 text-right max-sm:hidden">{formatBytes(set.bytes ?? 0)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
