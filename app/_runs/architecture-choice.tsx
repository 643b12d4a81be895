"use client";

import { Tooltip } from "@base-ui/react/tooltip";
import { useId } from "react";
import { type Architecture, architectures, isBase } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import { classNames } from "../_ui/class-names.ts";
import { InfoTip } from "../_ui/info-tip.tsx";

const groups: readonly { name: string; members: readonly Architecture[] }[] = [
  { name: "One hook point", members: architectures.filter(isBase) },
  { name: "Several hook points", members: architectures.filter((one) => !isBase(one)) },
];

function Chip({
  architecture,
  name,
  checked,
  onChoose,
}: {
  architecture: Architecture;
  /** Of the group of radio buttons. */
  name: string;
  checked: boolean;
  onChoose: (architecture: Architecture) => void;
}) {
  const { label, help, source } = architectureDescriptions[architecture];
  return (
    <Tooltip.Root>
      <Tooltip.Trigger render={<span className="inline-flex" />}>
        <label
          className={classNames(
            "inline-flex h-8 cursor-pointer items-center rounded-md border px-3 whitespace-nowrap transition-colors duration-100 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent",
            checked
              ? "border-accent bg-accent-soft font-medium text-accent"
              : "border-line-strong hover:border-ink-3 hover:bg-hover",
          )}
        >
          <input
            type="radio"
            name={name}
            value={architecture}
            checked={checked}
            onChange={() => onChoose(architecture)}
            className="sr-only"
          />
          {label}
        </label>
      </Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Positioner sideOffset={6} collisionPadding={12} className="z-60">
          <Tooltip.Popup className="max-w-[min(22rem,calc(100vw-1.5rem))] rounded-lg border border-line-strong bg-surface px-3.5 py-3 text-xs shadow-pop">
            <p className="text-ink-2">{help}</p>
            <p className="mt-1.5 text-ink-3">{source}</p>
          </Tooltip.Popup>
        </Tooltip.Positioner>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}

/** All that can be trained, one of it chosen, with what the chosen one is. */
export function ArchitectureChoice({
  value,
  only = architectures,
  onChoose,
}: {
  value: Architecture;
  /** Those that make sense here. */
  only?: readonly Architecture[];
  onChoose: (architecture: Architecture) => void;
}) {
  const id = useId();
  const { label, help, source } = architectureDescriptions[value];
  const shown = groups
    .map(({ name, members }) => ({ name, members: members.filter((one) => only.includes(one)) }))
    .filter(({ members }) => members.length > 0);
  return (
    <fieldset aria-describedby={`${id}-help`}>
      <legend className="sr-only">Architecture</legend>
      <div className="flex flex-wrap gap-x-8 gap-y-3">
        {shown.map(({ name, members }) => (
          <div key={name}>
            {shown.length > 1 ? <p className="mb-1.5 text-xs text-ink-3">{name}</p> : null}
            <div className="flex flex-wrap gap-1.5">
              {members.map((architecture) => (
                <Chip
                  key={architecture}
                  architecture={architecture}
                  name={id}
                  checked={architecture === value}
                  onChoose={onChoose}
                />
              ))}
            </div>
          </div>
        ))}
      </div>
      <p className="mt-3 text-ink-2">
        <span id={`${id}-help`}>{help}</span>{" "}
        <span className="inline-flex align-[-3px]">
          <InfoTip about={label} explanation={{ help, source }} />
        </span>
      </p>
    </fieldset>
  );
}
