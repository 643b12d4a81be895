"use client";

import { Play, Square } from "lucide-react";
import { type FormEvent, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { sampleSynthetic, sampleTraining } from "../../gpu/data/sample-run.ts";
import { type BaseArchitecture, baseArchitectures, isBase } from "../../gpu/sae/architecture.ts";
import { trainingConfigOptions, trainingConfigSchema } from "../../gpu/sae/config.ts";
import { configFaults } from "../../gpu/sae/config-faults.ts";
import { MetricCharts } from "../_charts/metric-charts.tsx";
import { MetricTiles } from "../_charts/metric-tiles.tsx";
import { EvaluationTiles, RecoveryTiles } from "../_charts/recovery.tsx";
import { ArchitectureChoice } from "../_runs/architecture-choice.tsx";
import { OptionInput } from "../_runs/option-input.tsx";
import { type OptionField, optionFields, readValue, writeValue } from "../_runs/schema-fields.ts";
import { Button } from "../_ui/button.tsx";
import { formatBytes, formatCount, formatDuration, noValue } from "../_ui/format.ts";
import { Notice } from "../_ui/notice.tsx";
import { PageHeader, Panel } from "../_ui/panel.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { useNow } from "../_ui/relative-time.tsx";
import { MissingWebGpu } from "./missing-webgpu.tsx";
import { keepsFixedNumber, optionsFor, sampleOptions, type TabOptions, tabConfig } from "./tab-config.ts";
import { type TabPhase, TabTraining, type TabTrainingState } from "./tab-training.ts";

const stepsField: OptionField = {
  key: "steps",
  label: "Steps",
  help: `Batches of ${formatCount(sampleTraining.train_batch_size_tokens)} tokens to train on.`,
  group: "Data",
  unit: "steps",
  source: null,
  kind: "integer",
  choices: [],
  nullable: false,
  default: sampleOptions.steps,
  bounds: "from 1 to 100,000",
};

const trainingFields = optionFields(trainingConfigOptions);

/** The options of an architecture that one may change here. */
function fieldsOf(architecture: BaseArchitecture): OptionField[] {
  const few = keepsFixedNumber(architecture) ? "k" : "target_l0";
  return ["d_sae", few, "lr", "steps", "seed"].flatMap((key) =>
    key === "steps" ? [stepsField] : trainingFields.filter((field) => field.key === key),
  );
}

/** What stands in the fields before anything is typed. */
function standingFor(architecture: BaseArchitecture): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(optionsFor(architecture)).map(([key, value]: [string, string | number]) => [
      key,
      writeValue(value),
    ]),
  );
}

/** Of a described number, what is wrong with what was typed. */
function faultOf(field: OptionField): string {
  return `${field.label} must be a ${field.kind === "integer" ? "whole number" : "number"} ${field.bounds ?? ""}.`;
}

function judged(architecture: BaseArchitecture, typed: Readonly<Record<string, string>>) {
  const faults = new Map<string, string>();
  const options = optionsFor(architecture);
  const standing = standingFor(architecture);
  const fields = fieldsOf(architecture);
  for (const field of fields) {
    const key = field.key as Exclude<keyof TabOptions, "architecture">;
    const value = readValue(field, typed[key] ?? standing[key] ?? "");
    if (typeof value === "number") options[key] = value;
    else faults.set(key, faultOf(field));
  }
  if (!Number.isInteger(options.steps) || options.steps < 1 || options.steps > 100_000) {
    faults.set("steps", faultOf(stepsField));
    return { config: null, faults };
  }
  const parsed = trainingConfigSchema.safeParse(tabConfig(options));
  for (const issue of parsed.error?.issues ?? []) {
    const field = fields.find(({ key }) => key === issue.path[0]);
    if (field) faults.set(field.key, faultOf(field));
  }
  if (parsed.success) for (const { path, message } of configFaults(parsed.data)) faults.set(path, message);
  return { config: parsed.success && faults.size === 0 ? parsed.data : null, faults };
}

const busy: readonly TabPhase[] = ["opening", "training", "stopping", "evaluating"];

const phaseNames: Record<TabPhase, string> = {
  idle: "Not started",
  opening: "Opening the GPU",
  training: "Training",
  stopping: "Stopping",
  evaluating: "Measuring what was found",
  completed: "Completed",
  stopped: "Stopped",
  failed: "Failed",
};

function Standing({ state }: { state: TabTrainingState }) {
  const now = useNow(250);
  const { phase, history, total_steps, config, capabilities, memory, started_at, ended_at } = state;
  const step = history.latest?.step ?? 0;
  const rate = phase === "training" && config ? history.stepsPerSecond(config.train_batch_size_tokens) : null;
  const seconds = started_at === null ? null : ((ended_at ?? now) - started_at) / 1_000;
  const figures: readonly [string, string][] = [
    ["Step", total_steps > 0 ? `${formatCount(step)} / ${formatCount(total_steps)}` : noValue],
    ["Steps/s", rate === null ? noValue : rate.toPrecision(3)],
    ["Left", rate ? formatDuration((total_steps - step) / rate) : noValue],
    ["Elapsed", seconds === null ? noValue : formatDuration(seconds)],
    ["GPU memory", memory ? formatBytes(memory.total) : noValue],
  ];
  return (
    <div className="mb-5">
      <ProgressBar
        label="Progress"
        value={step}
        max={Math.max(1, total_steps)}
        tone={
          phase === "failed" ? "bad" : phase === "completed" ? "ok" : phase === "stopped" ? "idle" : "accent"
        }
      />
      <div className="mt-2.5 flex flex-wrap items-baseline gap-x-6 gap-y-1">
        <span role="status" data-phase={phase} className="font-medium">
          {phaseNames[phase]}
        </span>
        {figures.map(([name, value]) => (
          <span key={name} className="flex items-baseline gap-1.5 whitespace-nowrap">
            <span className="text-xs text-ink-3">{name}</span>
            <span className="num">{value}</span>
          </span>
        ))}
        {capabilities ? (
          <span className="flex min-w-0 items-baseline gap-1.5">
            <span className="text-xs whitespace-nowrap text-ink-3">On</span>
            <span className="truncate">{capabilities.adapter}</span>
          </span>
        ) : null}
      </div>
    </div>
  );
}

type WebGpu = "ready" | "no WebGPU" | "no adapter";

/** Whether the tab can train; null until it is known. */
function useWebGpu(): WebGpu | null {
  const [found, setFound] = useState<WebGpu | null>(null);
  useEffect(() => {
    let here = true;
    const say = (what: WebGpu) => {
      if (here) setFound(what);
    };
    if ("gpu" in navigator) {
      navigator.gpu.requestAdapter().then(
        (adapter) => say(adapter === null ? "no adapter" : "ready"),
        () => say("no adapter"),
      );
    } else say("no WebGPU");
    return () => {
      here = false;
    };
  }, []);
  return found;
}

/** Trains the sample in this very tab: the same trainer, the same shaders, no server involved. */
export function Playground() {
  const [training] = useState(() => new TabTraining());
  const state = useSyncExternalStore(training.subscribe, training.state, training.state);
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({});
  const webGpu = useWebGpu();
  const [architecture, setArchitecture] = useState<BaseArchitecture>(sampleOptions.architecture);
  const standing = standingFor(architecture);
  const { config, faults } = useMemo(() => judged(architecture, typed), [architecture, typed]);
  const running = busy.includes(state.phase);

  useEffect(() => () => training.close(), [training]);

  function submit(event: FormEvent) {
    event.preventDefault();
    if (config && !running) training.start(config, sampleSynthetic);
  }

  return (
    <>
      <PageHeader
        title="Playground"
        description="Trains a small SAE in this tab, with the trainer and the shaders of the server's worker. Its activations are built from known features, so the end says how many of them were found. Nothing leaves the browser."
      />
      {webGpu === "no WebGPU" ? (
        <MissingWebGpu reason="This browser has no WebGPU, so it cannot train." />
      ) : webGpu === "no adapter" ? (
        <MissingWebGpu reason="This browser offers WebGPU no GPU, so it cannot train." />
      ) : state.missing ? (
        <MissingWebGpu reason={state.error ?? "This browser has no GPU to train on."} />
      ) : state.phase === "failed" ? (
        <Notice tone="bad" title={state.error ?? "The training failed."} className="mb-5" />
      ) : null}
      <form onSubmit={submit} noValidate className="mb-5">
        <Panel>
          <ArchitectureChoice
            value={architecture}
            only={baseArchitectures}
            onChoose={(next) => {
              if (isBase(next)) setArchitecture(next);
            }}
          />
          <div className="mt-4 grid items-start gap-x-5 gap-y-4 sm:grid-cols-3 lg:grid-cols-[repeat(5,minmax(0,1fr))_auto]">
            {fieldsOf(architecture).map((field) => {
              const value = typed[field.key] ?? standing[field.key] ?? "";
              return (
                <OptionInput
                  key={field.key}
                  field={field}
                  value={value}
                  changed={value !== standing[field.key]}
                  fault={faults.get(field.key)}
                  onChange={(text) => setTyped({ ...typed, [field.key]: text })}
                  onReset={() => {
                    const { [field.key]: _removed, ...rest } = typed;
                    setTyped(rest);
                  }}
                />
              );
            })}
            {running ? (
              <Button
                className="mt-6"
                onClick={() => training.stop()}
                disabled={state.phase === "stopping" || state.phase === "evaluating"}
              >
                <Square aria-hidden size={14} />
                Stop
              </Button>
            ) : (
              <Button
                type="submit"
                look="primary"
                className="mt-6"
                disabled={config === null || webGpu !== "ready"}
              >
                <Play aria-hidden size={14} />
                {state.phase === "idle" ? "Train" : "Train again"}
              </Button>
            )}
          </div>
        </Panel>
      </form>
      <Standing state={state} />
      {state.recovery && state.evaluation ? (
        <section aria-label="Outcome" className="mb-6">
          <h2 className="mb-2 font-medium">Recovery of the true features</h2>
          <RecoveryTiles recovery={state.recovery} />
          <h2 className="mt-4 mb-2 font-medium">Final evaluation</h2>
          <EvaluationTiles
            evaluation={state.evaluation}
            d_sae={state.config?.d_sae ?? sampleOptions.d_sae}
            config={state.config}
          />
        </section>
      ) : (
        <div className="mb-6">
          <MetricTiles
            latest={state.history.latest}
            d_sae={state.config?.d_sae ?? sampleOptions.d_sae}
            config={state.config ?? config}
          />
        </div>
      )}
      <MetricCharts
        history={state.history}
        version={state.version}
        name="playground"
        config={state.config ?? config}
      />
    </>
  );
}
