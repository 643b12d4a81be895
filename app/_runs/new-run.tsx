"use client";

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearchParams } from "next/navigation";
import { type FormEvent, useMemo, useRef, useState } from "react";
import { syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import {
  type Architecture,
  baseArchitectures,
  baseOf,
  isBase,
  isTranscoder,
} from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import { hooksFor } from "../_activations/hook-choice.ts";
import { useModelAndTokens } from "../_activations/use-model-and-tokens.ts";
import { useSettled } from "../_activations/use-settled.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { Segmented, SelectBox } from "../_ui/choice.tsx";
import { InfoTip } from "../_ui/info-tip.tsx";
import { PageHeader, Panel } from "../_ui/panel.tsx";
import { FieldFrame, TextField } from "../_ui/text-field.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { ArchitectureChoice } from "./architecture-choice.tsx";
import { automaticValue } from "./automatic-values.ts";
import { type GivenBySource, standingChoice, switched, typedConfig } from "./config-form.ts";
import { liveOptionsOf, sentLiveOptions, standardLiveOptions } from "./live-options.tsx";
import { type FormDefaults, OptionForm, optionValues, type Typed } from "./option-form.tsx";
import { RunPreview } from "./run-preview.tsx";
import { type OptionValue, optionFields, writeValue } from "./schema-fields.ts";
import {
  activationSetDefaults,
  checkpointDefaults,
  generatedWidth,
  liveDefaults,
  syntheticDefaults,
} from "./source-defaults.ts";
import { SourceLive, trainedTokens } from "./source-live.tsx";
import { type ChosenSets, keptSets, placesFor, SourceSets } from "./source-sets.tsx";

const generatorFields = optionFields(syntheticConfigSchema);
const essentialGenerator = ["d_in", "n_features", "firing_probability"];
const checkAfterMs = 200;

type SourceKind = CreateRunInput["source"]["kind"];

function asNumber(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : otherwise;
}

/** Faults below a path, by the option they are at: those of an entry of a list are the list's. */
function faultsBelow(
  faults: readonly { path: string; message: string }[],
  prefix: string,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const { path, message } of faults) {
    if (!path.startsWith(prefix)) continue;
    const key = path.slice(prefix.length).replace(/^\./, "").split(".")[0] ?? "";
    if (!found.has(key)) found.set(key, message);
  }
  return found;
}

function suggestedName(
  kind: SourceKind,
  sets: ChosenSets,
  live: { model: string | undefined; hooks: readonly (string | null)[] },
  config: Readonly<Record<string, OptionValue | undefined>>,
  architecture: Architecture,
): string {
  const names =
    kind === "live"
      ? live.hooks.flatMap((hook) => (hook ? [hook] : []))
      : sets.flatMap((set) => (set ? [set.name] : []));
  const joined = names.join(isTranscoder(architecture) ? " → " : " + ");
  const from =
    kind === "synthetic"
      ? "Synthetic"
      : kind === "live"
        ? [live.model ?? "Language model", joined].filter(Boolean).join(" ")
        : joined || "Activations";
  const size = typeof config.d_sae === "number" ? ` ${config.d_sae}` : "";
  const few =
    typeof config.k === "number"
      ? `, k ${config.k}`
      : typeof config.target_l0 === "number"
        ? `, L0 ${config.target_l0}`
        : "";
  return `${from} · ${architectureDescriptions[architecture].label}${size}${few}`.slice(0, 200);
}

/** What an existing run was made of, as typed text, so that another can be made like it. */
function useTemplate(id: string | null) {
  const trpc = useTRPC();
  return useQuery(
    trpc.runs.get.queryOptions(
      { id: id ?? "" },
      { enabled: id !== null, staleTime: Number.POSITIVE_INFINITY },
    ),
  ).data;
}

function typedOf(values: object): Typed {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]: [string, unknown]) => [
      key,
      typeof value === "string" || typeof value === "number" || typeof value === "boolean"
        ? writeValue(value)
        : Array.isArray(value)
          ? writeValue(value.map(Number))
          : "",
    ]),
  );
}

/** What keeps a run on stored activations from being judged, as the next step; null: nothing. */
function missingSets(missing: number): string | null {
  if (missing === 0) return null;
  return missing === 1
    ? "Choose, capture or import an activation set first."
    : `Choose, capture or import ${missing} activation sets first.`;
}

/** The same of a run beside a language model. */
function missingOfLive(
  { loading, model, tokenization }: ReturnType<typeof useModelAndTokens>,
  hooks: readonly (string | null)[],
): string | null {
  if (loading) return "Looking for models and tokens…";
  if (model === null) return "Import a language model first.";
  if (tokenization === null) return "Tokenize a dataset for this model first.";
  return hooks.includes(null) ? "Choose the hook points first." : null;
}

/** The form that makes a run: checked by the server as it is filled in. */
export function NewRun() {
  const params = useSearchParams();
  const router = useRouter();
  const trpc = useTRPC();
  const queryClient = useQueryClient();
  const { fail } = useToasts();
  const form = useRef<HTMLFormElement>(null);

  const [name, setName] = useState<string | null>(null);
  const [description, setDescription] = useState("");
  const [kind, setKind] = useState<SourceKind>(
    params.has("set")
      ? "activation_set"
      : params.has("model") || params.has("tokenization")
        ? "live"
        : "synthetic",
  );
  const [chosen, setChosen] = useState<ChosenSets>([null]);
  const [pickedHooks, setPickedHooks] = useState<readonly (string | null)[]>(() =>
    params.has("hook") ? params.getAll("hook") : [null],
  );
  const [liveOptions, setLiveOptions] = useState(standardLiveOptions);
  /** Sets that are being captured in place of training live. */
  const [captured, setCaptured] = useState<readonly string[] | null>(null);
  const [generatorTyped, setGeneratorTyped] = useState<Typed>({});
  const [configTyped, setConfigTyped] = useState<Typed>({});

  const template = useTemplate(params.get("like"));
  const [templateUsed, setTemplateUsed] = useState<string | null>(null);
  if (template && templateUsed !== template.id) {
    setTemplateUsed(template.id);
    setKind(template.run_source.kind);
    setConfigTyped(switched(typedOf(template.config), {}));
    if (template.run_source.kind === "synthetic") setGeneratorTyped(typedOf(template.run_source.synthetic));
    else if (template.run_source.kind === "activation_set")
      setChosen(template.run_source.activation_set_ids.map(() => null));
    else {
      setPickedHooks(template.run_source.hooks);
      setLiveOptions(liveOptionsOf(template.run_source));
    }
    setDescription(template.description);
  }
  const wantedSet = params.get("set");
  const wantedSets = useMemo(
    () =>
      captured ??
      (wantedSet
        ? [wantedSet]
        : template?.run_source.kind === "activation_set"
          ? template.run_source.activation_set_ids
          : []),
    [captured, wantedSet, template],
  );

  const choice = standingChoice(configTyped);
  const { architecture } = choice;
  const several = !isBase(architecture);
  const sourceKind: SourceKind = several && kind === "synthetic" ? "activation_set" : kind;
  const sets = useMemo(() => placesFor(architecture, chosen), [architecture, chosen]);
  const like = template?.run_source.kind === "live" ? template.run_source : null;
  const subject = useModelAndTokens(
    {
      model_id: params.get("model") ?? like?.model_id,
      tokenization_id: params.get("tokenization") ?? like?.tokenization_id,
    },
    sourceKind === "live",
  );
  const { model, tokenization, points } = subject;
  const hooks = useMemo(
    () => hooksFor(architecture, pickedHooks, points),
    [architecture, pickedHooks, points],
  );
  const generator = useMemo(() => optionValues(generatorFields, generatorTyped, {}), [generatorTyped]);

  const config = useMemo(() => {
    const live = sourceKind === "live";
    const widths = live
      ? hooks.map((hook) => points.find(({ name }) => name === hook)?.width)
      : sets.map((set) => set?.d_in ?? undefined);
    const [d_in, d_out] = widths;
    const n_tokens = live ? tokenization && trainedTokens(tokenization) : sets[0]?.n_tokens;
    const defaultsFor = live ? liveDefaults : activationSetDefaults;
    const bySource: FormDefaults =
      sourceKind === "synthetic"
        ? syntheticDefaults(generator, baseOf(standingChoice(configTyped)))
        : n_tokens && d_in
          ? defaultsFor({ n_tokens, d_in })
          : {};
    const given: GivenBySource =
      sourceKind === "synthetic"
        ? { d_in: generatedWidth(generator) }
        : { d_in, d_out, n_hook_points: widths.length };
    const { values } = typedConfig(configTyped, bySource, given);
    const steps = Math.floor(
      asNumber(values.training_tokens, 0) / asNumber(values.train_batch_size_tokens, 1),
    );
    return typedConfig(configTyped, { ...bySource, ...checkpointDefaults(steps) }, given);
  }, [sourceKind, sets, hooks, points, tokenization, generator, configTyped]);
  const shownName =
    name ?? suggestedName(sourceKind, sets, { model: model?.name, hooks }, config.sent, architecture);

  // What is typed may be anything; saying what is wrong with it is the server's part.
  const input = useMemo(
    () =>
      ({
        name: shownName,
        description,
        source:
          sourceKind === "synthetic"
            ? { kind: sourceKind, synthetic: generator }
            : sourceKind === "live"
              ? {
                  kind: sourceKind,
                  model_id: model?.id ?? "",
                  tokenization_id: tokenization?.id ?? "",
                  hooks: hooks.map((hook) => hook ?? ""),
                  ...sentLiveOptions(liveOptions, architecture),
                }
              : { kind: sourceKind, activation_set_ids: sets.map((set) => set?.id ?? "") },
        config: config.sent,
      }) as unknown as CreateRunInput,
    [
      shownName,
      description,
      sourceKind,
      generator,
      model?.id,
      tokenization?.id,
      hooks,
      liveOptions,
      architecture,
      sets,
      config,
    ],
  );
  const missing =
    sourceKind === "live"
      ? missingOfLive(subject, hooks)
      : sourceKind === "activation_set"
        ? missingSets(sets.filter((set) => set === null).length)
        : null;
  const incomplete = missing !== null;
  // While the source is not chosen there is nothing to judge yet, nor in what was there a moment before it was.
  const settled = useSettled(incomplete ? null : input, checkAfterMs);
  const check = useQuery(
    trpc.runs.check.queryOptions(settled ?? input, {
      enabled: settled !== null && !incomplete,
      placeholderData: keepPreviousData,
      staleTime: 5_000,
      retry: false,
    }),
  );
  const faults = useMemo(() => (incomplete ? [] : (check.data?.faults ?? [])), [check.data, incomplete]);
  const stale = settled !== input || check.isPlaceholderData || check.isPending;
  const configFaults = useMemo(() => faultsBelow(faults, "config."), [faults]);
  const generatorFaults = useMemo(() => faultsBelow(faults, "source.synthetic."), [faults]);
  const setFaults = useMemo(() => faultsBelow(faults, "source.activation_set_ids"), [faults]);
  const liveFaults = useMemo(() => faultsBelow(faults, "source."), [faults]);
  const hookFaults = useMemo(() => faultsBelow(faults, "source.hooks"), [faults]);

  const create = useMutation(
    trpc.runs.create.mutationOptions({
      onSuccess: async ({ id }) => {
        await queryClient.invalidateQueries({ queryKey: trpc.runs.list.pathKey() });
        router.push(`/runs/${id}`);
      },
      onError: async (error) => {
        fail("The run was not made", error);
        await check.refetch();
        form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
      },
    }),
  );

  const unchanged: Typed = Object.fromEntries(
    Object.entries(configTyped).filter(([key]) => key === "architecture" || key === "base_architecture"),
  );
  const changed = Object.keys(configTyped).length > Object.keys(unchanged).length;

  function submit(event: FormEvent) {
    event.preventDefault();
    if (incomplete || create.isPending) return;
    // Faults of what was typed a moment ago say nothing of this; the server judges what is sent.
    if (faults.length > 0 && !stale) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
    else create.mutate(input);
  }

  return (
    <form ref={form} onSubmit={submit} noValidate>
      <PageHeader title="New run" />
      <div className="grid items-start gap-4 lg:grid-cols-[minmax(0,1fr)_19rem]">
        <div className="flex min-w-0 flex-col gap-4">
          <Panel>
            <div className="grid gap-x-5 gap-y-4 sm:grid-cols-[1.5fr_1fr]">
              <TextField
                id="run-name"
                label="Name"
                value={shownName}
                fault={faults.find(({ path }) => path === "name")?.message}
                onChange={setName}
              />
              <TextField
                id="run-description"
                label="Description"
                placeholder="What this run is to show"
                value={description}
                fault={faults.find(({ path }) => path === "description")?.message}
                onChange={setDescription}
              />
            </div>
          </Panel>
          <Panel title="Architecture">
            <ArchitectureChoice
              value={architecture}
              onChoose={(next) => {
                setConfigTyped(switched(configTyped, { architecture: next }));
                setChosen(keptSets(next, chosen));
                // What an SAE reads is not what a transcoder does; a crosscoder goes on from it.
                if (next !== "crosscoder" && isTranscoder(next) !== isTranscoder(architecture))
                  setPickedHooks([null]);
              }}
            />
            {several ? (
              <FieldFrame
                id="base-architecture"
                label="Activation"
                className="mt-4 max-w-64"
                aside={
                  <InfoTip
                    about="Activation"
                    explanation={{
                      help: "The activation and losses that it trains with.",
                      source: architectureDescriptions[choice.base_architecture].source,
                    }}
                  />
                }
              >
                <SelectBox
                  id="base-architecture"
                  value={choice.base_architecture}
                  choices={baseArchitectures.map((base) => ({
                    value: base,
                    label: architectureDescriptions[base].label,
                    detail: architectureDescriptions[base].help,
                  }))}
                  onChange={(base) => setConfigTyped(switched(configTyped, { base_architecture: base }))}
                />
              </FieldFrame>
            ) : null}
          </Panel>
          <Panel
            title="Source"
            flush
            aside={
              <Segmented
                label="Source"
                value={sourceKind}
                choices={[
                  { value: "live", label: "Language model" },
                  { value: "activation_set", label: sets.length > 1 ? "Activation sets" : "Activation set" },
                  {
                    value: "synthetic",
                    label: "Synthetic",
                    ...(several
                      ? {
                          disabled:
                            "Synthetic activations have one hook point, and this architecture needs more.",
                        }
                      : {}),
                  },
                ]}
                onChange={setKind}
              />
            }
          >
            {sourceKind === "synthetic" ? (
              <OptionForm
                fields={generatorFields}
                essential={essentialGenerator}
                typed={generatorTyped}
                defaults={{}}
                faults={generatorFaults}
                onChange={setGeneratorTyped}
              />
            ) : sourceKind === "live" ? (
              <SourceLive
                architecture={architecture}
                choice={subject}
                hooks={hooks}
                trainingTokens={asNumber(config.values.training_tokens, 0)}
                faults={liveFaults}
                hookFaults={hookFaults}
                options={liveOptions}
                onChoose={setPickedHooks}
                onOptions={setLiveOptions}
                onCaptured={({ activation_set_ids }) => {
                  setCaptured(activation_set_ids);
                  setChosen(activation_set_ids.map(() => null));
                  setKind("activation_set");
                }}
              />
            ) : (
              <SourceSets
                key={captured?.join() ?? templateUsed}
                architecture={architecture}
                chosen={sets}
                wanted={wantedSets}
                faults={setFaults}
                onChoose={setChosen}
              />
            )}
          </Panel>
          <Panel
            title="Training"
            flush
            aside={
              changed ? (
                <Button size="small" look="ghost" onClick={() => setConfigTyped(unchanged)}>
                  Reset to defaults
                </Button>
              ) : null
            }
          >
            <OptionForm
              fields={config.fields}
              essential={config.essential}
              typed={configTyped}
              defaults={config.defaults}
              automatic={(key) => automaticValue(key, config.values)}
              faults={configFaults}
              onChange={setConfigTyped}
            />
          </Panel>
        </div>
        <RunPreview
          check={incomplete ? null : (check.data ?? null)}
          stale={stale}
          error={check.error}
          batchSize={asNumber(config.values.train_batch_size_tokens, 0)}
          missing={missing}
          starting={create.isPending || create.isSuccess}
        />
      </div>
    </form>
  );
}
