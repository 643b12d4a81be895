"use client";

import type { Inspection, SaeDescription } from "../../server/formats/inspect.ts";
import { Button } from "../_ui/button.tsx";
import { formatBytes, formatCompact, formatCount } from "../_ui/format.ts";
import { Notice } from "../_ui/notice.tsx";
import { Fact, FactColumns } from "../_ui/panel.tsx";
import { ScrollBox } from "../_ui/scroll-area.tsx";
import { activationNames, formatNames } from "./sae-words.ts";

function SaeFound({ found }: { found: SaeDescription }) {
  const { config } = found;
  const { d_in, d_out, d_sae, metadata } = config;
  return (
    <>
      <FactColumns>
        <Fact name="Format">{formatNames[found.format]}</Fact>
        <Fact name="Architecture">{found.architecture}</Fact>
        <Fact name="Widths">
          <span className="num">
            {formatCount(d_in)} → {formatCount(d_sae)}
            {d_out === d_in ? "" : ` → ${formatCount(d_out)}`}
          </span>
        </Fact>
        <Fact name="Activation">
          {activationNames[config.activation]}
          {config.k === null ? "" : `, k ${config.k}`}
        </Fact>
        <Fact name="Parameters">
          <span className="num">{formatCompact(found.parameters)}</span>
        </Fact>
        <Fact name="Hook point">
          <span className="num">{metadata.hook_name ?? "unknown"}</span>
        </Fact>
      </FactColumns>
      <ScrollBox label="Tensors" className="mt-3 max-h-40 rounded-md border border-line">
        <table className="num w-full text-left text-xs">
          <thead className="sr-only">
            <tr>
              <th scope="col">Tensor</th>
              <th scope="col">Type</th>
              <th scope="col">Shape</th>
            </tr>
          </thead>
          <tbody>
            {found.tensors.map(({ name, dtype, shape }) => (
              <tr key={name} className="border-t border-line first:border-t-0">
                <th scope="row" className="px-3 py-1 font-normal">
                  {name}
                </th>
                <td className="px-3 py-1 text-ink-2">{dtype}</td>
                <td className="px-3 py-1 text-right text-ink-2">[{shape.map(formatCount).join(" × ")}]</td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollBox>
      {found.notes.map((note) => (
        <p key={note} className="mt-2 text-xs text-ink-2">
          {note}
        </p>
      ))}
    </>
  );
}

/** What a path holds; of a run one of its SAEs can be chosen instead. */
export function InspectionResult({
  found,
  onChoose,
}: {
  found: Inspection;
  onChoose: (path: string) => void;
}) {
  switch (found.kind) {
    case "sae":
      return <SaeFound found={found} />;
    case "run":
      return (
        <Notice title="This is a run's folder.">
          {found.saes.length === 0 ? "It has left no SAE." : "Choose one of the SAEs it has left:"}
          <ul className="mt-2 flex flex-col gap-1.5">
            {found.saes.map(({ name, sae, fault }) => (
              <li key={name} className="flex items-center justify-between gap-3">
                <span className="num min-w-0 text-xs break-all">{name}</span>
                {sae ? (
                  <Button size="small" onClick={() => onChoose(sae.path)}>
                    Choose<span className="sr-only"> {name}</span>
                  </Button>
                ) : (
                  <span className="text-xs text-bad">{fault}</span>
                )}
              </li>
            ))}
          </ul>
        </Notice>
      );
    case "checkpoint":
      return (
        <Notice tone="warn" title={`This is a checkpoint of a run at step ${formatCount(found.step)}.`}>
          A checkpoint holds the state of a training, not an SAE for use. Name the SAE that the run left.
        </Notice>
      );
    case "activation_set":
      return (
        <Notice tone="warn" title={`This is an activation set of ${formatBytes(found.bytes)}.`}>
          Name the folder or file of an SAE.
        </Notice>
      );
    case "safetensors":
      return (
        <Notice
          tone="warn"
          title={`This file holds ${found.tensors.length === 1 ? "a tensor" : `${found.tensors.length} tensors`}, but no known SAE.`}
        >
          {found.tensors
            .slice(0, 8)
            .map(({ name, shape }) => `${name} [${shape.join(", ")}]`)
            .join("; ")}
          . If they are activations, import the file under Activations.
        </Notice>
      );
  }
}
