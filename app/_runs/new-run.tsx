"use client";

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearchParams } from "next/navigation";
import { type FormEvent, useEffect, useMemo, useRef, useState } from "react";
import { syntheticConfigSchema } from "../../gpu/data/synthetic.ts";
import { trainingConfigSchema } from "../../gpu/sae/config.ts";
import type { ActivationSetView } from "../../server/activations/views.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { Segmented } from "../_ui/choice.tsx";
import { PageHeader, Panel } from "../_ui/panel.tsx";
import { TextField } from "../_ui/text-field.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { type FormDefaults, OptionForm, optionValues, type Typed } from "./option-form.tsx";
import { RunPreview } from "./run-preview.tsx";
import { optionFields, writeValue } from "./schema-fields.ts";
import { SetChoice } from "./set-choice.tsx";
import { activationSetDefaults, scheduleDefaults, syntheticDefaults } from "./source-defaults.ts";

const configFields = optionFields(trainingConfigSchema);
const generatorFields = optionFields(syntheticConfigSchema);
const essentialOptions = ["d_sae", "k", "lr", "training_tokens", "train_batch_size_tokens", "seed"];
const essentialGenerator = ["d_in", "n_features", "firing_probability"];
const checkAfterMs = 200;

type SourceKind = CreateRunInput["source"]["kind"];

function asNumber(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : otherwise;
}

/** The value once it has rested for a moment. */
function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** Faults below a path, by the rest of it. */
function faultsBelow(
  faults: readonly { path: string; message: string }[],
  prefix: string,
): Map<string, string> {
  const found = new Map<string, string>();
  for (const { path, message } of faults) {
    if (path.startsWith(prefix) && !found.has(path.slice(prefix.length)))
      found.set(path.slice(prefix.length), message);
  }
  return found;
}

function suggestedName(
  kind: SourceKind,
  set: ActivationSetView | null,
  config: Record<string, unknown>,
): string {
  const from = kind === "synthetic" ? "Synthetic" : (set?.name ?? "Activations");
  const size = typeof config.d_sae === "number" ? ` ${config.d_sae}` : "";
  const kept = typeof config.k === "number" ? `, k ${config.k}` : "";
  return `${from} · TopK${size}${kept}`;
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
        : "",
    ]),
  );
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
  const [kind, setKind] = useState<SourceKind>(params.has("set") ? "activation_set" : "synthetic");
  const [set, setSet] = useState<ActivationSetView | null>(null);
  const [generatorTyped, setGeneratorTyped] = useState<Typed>({});
  const [configTyped, setConfigTyped] = useState<Typed>({});

  const template = useTemplate(params.get("like"));
  const [templateUsed, setTemplateUsed] = useState<string | null>(null);
  if (template && templateUsed !== template.id) {
    setTemplateUsed(template.id);
    setKind(template.run_source.kind);
    setConfigTyped(typedOf(template.config));
    if (template.run_source.kind === "synthetic") setGeneratorTyped(typedOf(template.run_source.synthetic));
    setDescription(template.description);
  }
  const wantedSet =
    params.get("set") ??
    (template?.run_source.kind === "activation_set" ? template.run_source.activation_set_id : null);

  const generator = useMemo(() => optionValues(generatorFields, generatorTyped, {}), [generatorTyped]);
  const defaults: FormDefaults = useMemo(() => {
    const bySource =
      kind === "synthetic"
        ? syntheticDefaults(generator)
        : set?.n_tokens && set.d_in
          ? activationSetDefaults({ n_tokens: set.n_tokens, d_in: set.d_in })
          : {};
    const { training_tokens, train_batch_size_tokens } = optionValues(configFields, configTyped, {
      ...bySource,
    });
    const steps = Math.floor(asNumber(training_tokens, 0) / asNumber(train_batch_size_tokens, 1));
    return { ...bySource, ...scheduleDefaults(steps) };
  }, [kind, set, generator, configTyped]);
  // The width is the source's to say, whatever a template had.
  const config: ReturnType<typeof optionValues> = useMemo(
    () => ({ ...optionValues(configFields, configTyped, defaults), d_in: defaults.d_in }),
    [configTyped, defaults],
  );
  const shownName = name ?? suggestedName(kind, set, config);

  // What is typed may be anything; saying what is wrong with it is the server's part.
  const input = useMemo(
    () =>
      ({
        name: shownName,
        description,
        source:
          kind === "synthetic" ? { kind, synthetic: generator } : { kind, activation_set_id: set?.id ?? "" },
        config,
      }) as unknown as CreateRunInput,
    [shownName, description, kind, generator, set, config],
  );
  const incomplete = kind === "activation_set" && !set;
  // While no set is chosen there is nothing to judge yet, nor in what was there a moment before one was.
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
  const setFault = faults.find(({ path }) => path === "source.activation_set_id")?.message;

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
            <div className="grid gap-x-5 gap-y-4 sm:grid-cols-2">
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
          <Panel
            title="Source"
            flush
            aside={
              <Segmented
                label="Source"
                value={kind}
                choices={[
                  { value: "synthetic", label: "Synthetic" },
                  { value: "activation_set", label: "Activation set" },
                ]}
                onChange={setKind}
              />
            }
          >
            {kind === "synthetic" ? (
              <OptionForm
                fields={generatorFields}
                essential={essentialGenerator}
                hidden={[]}
                typed={generatorTyped}
                defaults={{}}
                faults={generatorFaults}
                onChange={setGeneratorTyped}
              />
            ) : (
              <SetChoice chosen={set} wanted={wantedSet} fault={setFault} onChoose={setSet} />
            )}
          </Panel>
          <Panel
            title="Training"
            flush
            aside={
              Object.keys(configTyped).length > 0 ? (
                <Button size="small" look="ghost" onClick={() => setConfigTyped({})}>
                  Reset to defaults
                </Button>
              ) : null
            }
          >
            <OptionForm
              fields={configFields}
              essential={essentialOptions}
              hidden={["d_in"]}
              typed={configTyped}
              defaults={defaults}
              faults={configFaults}
              onChange={setConfigTyped}
            />
          </Panel>
        </div>
        <RunPreview
          check={incomplete ? null : (check.data ?? null)}
          stale={stale}
          error={check.error}
          batchSize={asNumber(config.train_batch_size_tokens, 0)}
          incomplete={incomplete}
          starting={create.isPending || create.isSuccess}
        />
      </div>
    </form>
  );
}
