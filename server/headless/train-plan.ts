import path from "node:path";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { hookNameOf } from "../artifacts/activation-tensor.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import type { Activations } from "./activations.ts";
import { readInitialWeights } from "./initial-weights.ts";
import { newestSavedStep, resumePlace } from "./resume.ts";
import {
  type HookPointIdentity,
  type RunFailure,
  type RunRecord,
  readRunConfig,
  readRunRecord,
  refuseUsedFolder,
} from "./run-folder.ts";
import { sweepVariants, type Variant } from "./sweep.ts";
import type { GivenMetadata, TrainRequest } from "./train-request.ts";
import { type DataLocations, openData, sameData, type TrainingData } from "./training-data.ts";
import { readConfigFile, trainingConfig } from "./training-options.ts";

/** One SAE to train, or one that had failed before the step that is gone on from. */
export interface PlannedSae {
  label: string;
  folder: string;
  config: TrainingConfig;
  resume: TrainerState | null;
  failure: RunFailure | null;
  /** Folder whose rows of metrics up to the plan's step are its own. */
  metricsFrom: string;
}

/** All that a run needs and that has been checked. Nothing has been written. Close the data. */
export interface TrainPlan {
  out: string;
  /** Whether the folder is a run already. */
  begun: boolean;
  /** Steps taken already. */
  step: number;
  /** Adapter that took them; null for a run that begins. */
  begunOn: string | null;
  saes: PlannedSae[];
  /** Parameters to start from; null for random ones. */
  init: Record<string, StateTensor> | null;
  data: TrainingData;
  /** But for the adapter, which nobody has opened. */
  record: Omit<RunRecord, "adapter">;
}

/** What planning tells while it is under way. */
export interface PlanReport {
  warn(message: string): void;
  /** Rows of the activations that have been checked. */
  checked(rows: number, of: number): void;
}

/**
 * Checks everything that can be wrong with a run before it begins.
 * @throws InvalidInputError with every fault; NonFiniteActivationsError; RunFolderError; InitialWeightsError; the
 * reason of `signal`.
 */
export async function planTraining(
  request: TrainRequest,
  faults: readonly Fault[],
  report: PlanReport,
  signal: AbortSignal,
): Promise<TrainPlan> {
  return request.resume === null
    ? planFresh(request, [...faults], report, signal)
    : planResumed(request, request.resume, [...faults], report, signal);
}

async function planFresh(
  request: TrainRequest,
  faults: Fault[],
  report: PlanReport,
  signal: AbortSignal,
): Promise<TrainPlan> {
  if (request.data.activations.length === 0) {
    faults.push({
      path: "--activations",
      message: "Give a safetensors file of activations, or a folder of them.",
    });
  }
  if (request.out === null)
    faults.push({ path: "--out", message: "Give the folder that the run is to be kept in." });
  const out = path.resolve(request.out ?? ".");
  if (request.out !== null) refuseUsedFolder(out);
  const data = await tryOpenData(request.data, faults);
  try {
    const given = await givenOptions(request, faults);
    const { variants, faults: sweepFaults } = sweepVariants(request.sweep);
    faults.push(...sweepFaults);
    const configs = configsOf(given, variants, data, faults);
    if (faults.length > 0 || data === null) throw new InvalidInputError(faults);
    const init = request.init === null ? null : await readInitialWeights(request.init);
    const identities = await data.identify(report.checked, signal);
    const saes = [...configs].map(([label, config]): PlannedSae => {
      const folder = path.join(out, label);
      return { label, folder, config, resume: null, failure: null, metricsFrom: folder };
    });
    const record = {
      ...recordOf(request.data, identities),
      shuffle: request.shuffle,
      // A sweep over seeds changes the weights' beginnings; the rows come in one order for all.
      order_seed: saes[0]!.config.seed,
      metadata: metadataOf(request.metadata, data),
      labels: saes.map(({ label }) => label),
    };
    return { out, begun: false, step: 0, begunOn: null, saes, init, data, record };
  } catch (error) {
    await data?.close();
    throw error;
  }
}

async function planResumed(
  request: TrainRequest,
  resume: string,
  faults: Fault[],
  report: PlanReport,
  signal: AbortSignal,
): Promise<TrainPlan> {
  const place = resumePlace(resume);
  const record = await readRunRecord(place.run);
  const out = path.resolve(request.out ?? place.run);
  const begun = out === place.run;
  if (!begun) refuseUsedFolder(out);
  const saved = await Promise.all(
    record.labels.map(async (label) => {
      const folder = path.join(place.run, label);
      return { label, folder, config: await readRunConfig(folder) };
    }),
  );
  if (!request.shuffle && record.shuffle) {
    faults.push({
      path: "--no-shuffle",
      message: "The run was begun with its rows shuffled, and goes on so.",
    });
  }
  const locations = locationsOf(request.data, record);
  const data = await tryOpenData(locations, faults);
  try {
    await refuseOtherOptions(request, saved, data, faults);
    if (faults.length > 0 || data === null) throw new InvalidInputError(faults);
    const { step, states, failures } = await newestSavedStep(saved, place.step, report.warn);
    const init = step > 0 || request.init === null ? null : await readInitialWeights(request.init);
    const identities = await data.identify(report.checked, signal);
    if (!sameData(identities, record.data)) {
      throw new InvalidInputError([
        {
          path: "--activations",
          message:
            "These are other activations than the run was begun with. Give those again, or begin a new run in another --out.",
        },
      ]);
    }
    const saes = saved.map(
      ({ label, folder, config }): PlannedSae => ({
        label,
        folder: path.join(out, label),
        config,
        resume: states.get(label) ?? null,
        failure: failures.get(label) ?? null,
        metricsFrom: folder,
      }),
    );
    const { adapter: begunOn, ...rest } = record;
    return {
      out,
      begun,
      step,
      begunOn,
      saes,
      init,
      data,
      record: { ...rest, ...recordOf(locations, identities) },
    };
  } catch (error) {
    await data?.close();
    throw error;
  }
}

async function tryOpenData(locations: DataLocations, faults: Fault[]): Promise<TrainingData | null> {
  if (locations.activations.length === 0) return null;
  try {
    return await openData(locations);
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    faults.push(...error.faults.map(({ path: role, message }) => ({ path: `--${role}`, message })));
    return null;
  }
}

async function givenOptions(request: TrainRequest, faults: Fault[]): Promise<Record<string, unknown>> {
  if (request.config === null) return request.overrides;
  const file = await readConfigFile(request.config);
  faults.push(...file.faults);
  return { ...file.options, ...request.overrides };
}

/** A configuration for each variant, as far as they are without fault. */
function configsOf(
  given: Record<string, unknown>,
  variants: readonly Variant[],
  data: TrainingData | null,
  faults: Fault[],
): Map<string, TrainingConfig> {
  const configs = new Map<string, TrainingConfig>();
  for (const { label, options } of variants) {
    const { config, faults: found } = trainingConfig({ ...given, ...options }, data?.widths ?? null);
    if (config !== null) configs.set(label, config);
    for (const fault of found) {
      const known = faults.some(({ path: at, message }) => at === fault.path && message === fault.message);
      if (!known) faults.push(fault);
    }
  }
  return configs;
}

/** A run goes on with its own options; those that are given again must be the same. */
async function refuseOtherOptions(
  request: TrainRequest,
  saved: readonly { label: string; config: TrainingConfig }[],
  data: TrainingData | null,
  faults: Fault[],
): Promise<void> {
  if (request.sweep.length > 0) {
    const { variants } = sweepVariants(request.sweep);
    const labels = variants.map(({ label }) => label).join(" ");
    if (labels !== saved.map(({ label }) => label).join(" ")) {
      faults.push({
        path: "--sweep",
        message: "The run was begun with another sweep, and goes on with that.",
      });
    }
  }
  if (request.config === null && Object.keys(request.overrides).length === 0) return;
  const given = await givenOptions(request, faults);
  for (const { label, config } of saved) {
    const swept = new Set(label.split(",").map((part) => part.split("=")[0]!));
    const own = Object.fromEntries(Object.entries(config).filter(([name]) => swept.has(name)));
    const { config: wanted, faults: found } = trainingConfig({ ...given, ...own }, data?.widths ?? null);
    faults.push(...found);
    if (wanted === null) return;
    for (const name of Object.keys(config) as (keyof TrainingConfig)[]) {
      const [is, asked] = [written(config[name]), written(wanted[name])];
      if (is !== asked && !faults.some((fault) => fault.path === name)) {
        faults.push({
          path: name,
          message: `The run was begun with ${name} ${is}, not ${asked}, and goes on with that. Give all of its options again or none; to change one, begin a new run in another --out.`,
        });
      }
    }
  }
}

/** An option's value in a message. */
function written(value: TrainingConfig[keyof TrainingConfig]): string {
  return value === null ? "left empty" : JSON.stringify(value);
}

/** The data as given, and what is not given as the run has it. */
function locationsOf(given: DataLocations, record: RunRecord): DataLocations {
  return {
    activations: given.activations.length > 0 ? given.activations : record.activations,
    targets: given.targets ?? record.targets,
    tensor: given.tensor ?? record.tensor,
    target_tensor: given.target_tensor ?? record.target_tensor,
  };
}

function recordOf(locations: DataLocations, data: HookPointIdentity[]) {
  return {
    format_version: 1 as const,
    facet_version: packageJson.version,
    activations: locations.activations.map((location) => path.resolve(location)),
    targets: locations.targets === null ? null : path.resolve(locations.targets),
    tensor: locations.tensor,
    target_tensor: locations.target_tensor,
    data,
  };
}

/** Given names, else those that the files say of themselves. */
function metadataOf(given: GivenMetadata, { inputs, target }: TrainingData): RunRecord["metadata"] {
  const input = inputs[0]?.files[0]?.metadata;
  const hookName = (of: Activations | null | undefined) => {
    const file = of?.files[0];
    return file && hookNameOf(file.metadata, file.tensor.info.name);
  };
  const hookNames = inputs.map(hookName);
  return {
    model_name: given.model_name ?? input?.get("model_name") ?? input?.get("model") ?? null,
    hook_name:
      given.hook_name ?? (hookNames.every((name) => name !== undefined) ? hookNames.join(",") : null),
    hook_name_out: given.hook_name_out ?? hookName(target) ?? null,
    dataset_name: given.dataset_name ?? input?.get("dataset_name") ?? input?.get("dataset") ?? null,
  };
}
