"use client";

import Link from "next/link";
import { syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import { architectureDescriptions, type OptionName, trainingConfigOptions } from "../../gpu/sae/config.ts";
import { optionApplies } from "../../gpu/sae/config-faults.ts";
import type { CheckpointView, RunDetail, SaeView } from "../../server/runs/views.ts";
import { buttonClass } from "../_ui/button.tsx";
import { CopyText } from "../_ui/copy-text.tsx";
import { formatBytes, formatCount, noValue } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { EmptyState, Fact, Panel } from "../_ui/panel.tsx";
import { RelativeTime } from "../_ui/relative-time.tsx";
import { ScrollBox } from "../_ui/scroll-area.tsx";
import { automaticValue } from "./automatic-values.ts";
import { optionExplanation } from "./option-input.tsx";
import { grouped, type OptionField, optionFields } from "./schema-fields.ts";
import { SourceFacts } from "./source-facts.tsx";

const configFields = optionFields(trainingConfigOptions);
const generatorFields = optionFields(syntheticConfigSchema);

function shown(value: unknown): string {
  if (value === null || value === undefined) return "none";
  if (typeof value === "number") {
    const magnitude = Math.abs(value);
    return magnitude >= 1_000 && Number.isInteger(value) ? formatCount(value) : String(value);
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(shown).join(", ");
  // Long names of choices may break after an underscore.
  return String(value).replaceAll("_", "_\u200b");
}

/** A value of an option; what an empty one comes to. */
function shownOption(key: string, values: object, value: unknown): string {
  const named = Object.entries(architectureDescriptions).find(([name]) => name === value);
  if ((key === "architecture" || key === "base_architecture") && named) return named[1].label;
  return value === null ? (automaticValue(key, values) ?? "none") : shown(value);
}

function Options({ fields, values }: { fields: readonly OptionField[]; values: object }) {
  const of = new Map(Object.entries(values));
  return grouped(fields).map(({ group, fields: members }) => (
    <div key={group} className="mb-4 break-inside-avoid last:mb-0">
      <h3 className="eyebrow mb-1">{group}</h3>
      <dl>
        {members.map((field) => (
          <Fact
            key={field.key}
            name={
              <span className="flex items-center gap-1.5">
                {field.label}
                <InfoTip about={field.label} explanation={optionExplanation(field)} />
              </span>
            }
          >
            <span className={field.kind === "choice" ? "num text-xs" : "num"}>
              {shownOption(field.key, values, of.get(field.key))}
            </span>
            {field.unit ? <span className="text-xs text-ink-3"> {field.unit}</span> : null}
          </Fact>
        ))}
      </dl>
    </div>
  ));
}

const sourceTitles: Record<RunDetail["source"]["kind"], string> = {
  synthetic: "Synthetic source",
  activation_set: "Source",
  live: "Source, live",
};

/** Everything the run was told, by group; of its options those that have an effect. */
export function Configuration({ run }: { run: RunDetail }) {
  const { run_source: source, config } = run;
  const applying = configFields.filter(({ key }) => optionApplies(key as OptionName, config));
  return (
    <Panel title="Configuration">
      <div className="gap-8 sm:columns-2">
        <Options fields={applying} values={config} />
      </div>
      <h3 className="mt-5 mb-3 border-t border-line pt-4 font-medium">{sourceTitles[source.kind]}</h3>
      {source.kind === "synthetic" ? (
        <div className="gap-8 sm:columns-2">
          <Options fields={generatorFields} values={source.synthetic} />
        </div>
      ) : (
        <SourceFacts run={run} />
      )}
    </Panel>
  );
}

/** The SAE a run leaves: where it lies and how to tell that it is the one. */
export function SaeFacts({ sae, home }: { sae: SaeView; home: string | null }) {
  const folder = home ? `${home.replace(/\/$/, "")}/${sae.path}` : sae.path;
  return (
    <Panel
      title="SAE"
      aside={
        <Link href={`/saes/${sae.id}`} className={buttonClass("plain", "small")}>
          Open
        </Link>
      }
    >
      <dl>
        <Fact
          name={
            <span className="flex items-center gap-1.5">
              Folder
              <InfoTip
                about="the folder"
                explanation={{
                  help: "In SAELens' layout: cfg.json, sae_weights.safetensors, sparsity.safetensors. SAE.load_from_disk takes it as it is.",
                  source: "SAELens",
                }}
              />
            </span>
          }
        >
          <CopyText label="folder" text={folder} shown={sae.path} />
        </Fact>
        <Fact name="Hook point">
          <span className="num">{sae.hook_name}</span>
        </Fact>
        <Fact name="Size">
          <span className="num">{formatBytes(sae.bytes)}</span>
        </Fact>
        <Fact name="SHA-256">
          <CopyText label="hash" text={sae.sha256} shown={`${sae.sha256.slice(0, 16)}…`} />
        </Fact>
      </dl>
    </Panel>
  );
}

const reasons: Record<CheckpointView["reason"], string> = {
  interval: "interval",
  final: "end",
  pause: "pause",
  stop: "stop",
};

/** Checkpoints, newest first. */
export function Checkpoints({ checkpoints }: { checkpoints: readonly CheckpointView[] }) {
  const newestFirst = [...checkpoints].sort((one, other) => other.step - one.step);
  return (
    <Panel
      title="Checkpoints"
      flush
      aside={
        checkpoints.length > 0 ? <span className="num text-xs text-ink-3">{checkpoints.length}</span> : null
      }
    >
      {newestFirst.length === 0 ? (
        <EmptyState title="No checkpoint yet">
          A run that is interrupted goes on from its newest checkpoint.
        </EmptyState>
      ) : (
        <ScrollBox label="List of checkpoints" className="max-h-64">
          <table className="w-full text-left">
            <thead className="sr-only">
              <tr>
                <th scope="col">Step</th>
                <th scope="col">Reason</th>
                <th scope="col">Size</th>
                <th scope="col">Age</th>
                <th scope="col">SHA-256</th>
              </tr>
            </thead>
            <tbody>
              {newestFirst.map((checkpoint) => (
                <tr key={checkpoint.id} className="border-t border-line first:border-t-0">
                  <th scope="row" className="num py-1 pl-4 font-normal">
                    {formatCount(checkpoint.step)}
                  </th>
                  <td className="px-2 py-1 text-ink-2">{reasons[checkpoint.reason]}</td>
                  <td className="num px-2 py-1 text-xs whitespace-nowrap">{formatBytes(checkpoint.bytes)}</td>
                  <td className="px-2 py-1 text-xs whitespace-nowrap text-ink-2">
                    <RelativeTime iso={checkpoint.created_at} />
                  </td>
                  <td className="py-1 pr-3 text-right">
                    <CopyText
                      label={`hash of step ${checkpoint.step}`}
                      text={checkpoint.sha256}
                      shown={checkpoint.sha256.slice(0, 8)}
                    />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollBox>
      )}
    </Panel>
  );
}

/** What was planned on the device, and what it came to. */
export function MemoryFacts({ memory }: { memory: NonNullable<RunDetail["memory"]> }) {
  return (
    <Panel title="GPU memory">
      <dl>
        <Fact name="Planned">
          <span className="num">{formatBytes(memory.planned_bytes)}</span>
        </Fact>
        <Fact name="Peak">
          <span className="num">{memory.peak_bytes === null ? noValue : formatBytes(memory.peak_bytes)}</span>
        </Fact>
      </dl>
    </Panel>
  );
}
