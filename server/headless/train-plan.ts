import path from "node:path";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import packageJson from "../../package.json" with { type: "json" };
import { type Fault, InvalidInputError } from "../errors.ts";
import { misplaced, notHeldOut, type PlaceWithin } from "./evaluate-within.ts";
import { readInitialWeights } from "./initial-weights.ts";
import { type LiveInput, type LiveLocations, openLiveInput } from "./live-data.ts";
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
import type { GivenEvaluation, TrainRequest } from "./train-request.ts";
import { type DataLocations, openData, sameData } from "./training-data.ts";
import { type HookColumns, storedInput, type TrainingInput } from "./training-input.ts";
import { type GivenWidths, readConfigFile, trainingConfig } from "./training-options.ts";

/** One SAE to train, or one that had failed before the step that is gone on from. */
export interface PlannedSae {
  label: string;
  folder: string;
  config: TrainingConfig;
  /** Its own among several hook points; null where it reads all there is. */
  own: HookColumns | null;
  /** Where it is measured within its model; null where there is none, or nothing can be put there. */
  place: PlaceWithin | null;
  resume: TrainerState | null;
  failure: RunFailure | null;
  /** Folder whose rows of metrics up to the plan's step are its own. */
  metricsFrom: string;
}

/** All that a run needs and that has been checked. Nothing has been written. Close the input. */
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
  input: TrainingInput;
  /** To measure SAEs within their model; null where no model is there. */
  within: { live: LiveInput; evaluation: Evaluation } | null;
  /** But for the adapter, which nobody has opened. */
  record: Omit<RunRecord, "adapter">;
}

/** How often and on how much SAEs are measured within their model. */
type Evaluation = NonNullable<RunRecord["live"]>["evaluation"];

/** Enough for a loss that is good to a per cent, and a matter of seconds. */
const defaultEvaluationSequences = 64;

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
  if (request.data.activations.length === 0 && request.live === null) {
    faults.push({
      path: "--activations",
      message:
        "Give a safetensors file of activations, a folder of them, or an activation set; or a language model with --model, --tokens and --hooks.",
    });
  }
  if (request.out === null)
    faults.push({ path: "--out", message: "Give the folder that the run is to be kept in." });
  const out = path.resolve(request.out ?? ".");
  if (request.out !== null) refuseUsedFolder(out);
  const given = await givenOptions(request, faults);
  const crosscoder = given.architecture === "crosscoder";
  if (crosscoder && request.evaluation.every_steps !== null) {
    const message =
      "A crosscoder reads several hook points and has no one place within the model to be measured at.";
    faults.push({ path: "--eval-every", message });
  }
  const opened = await tryOpen(request.data, request.live, crosscoder, faults);
  try {
    const { variants, faults: sweepFaults } = sweepVariants(request.sweep);
    faults.push(...sweepFaults);
    const configs = configsOf(given, variants, opened?.input ?? null, faults);
    if (faults.length > 0 || opened === null) throw new InvalidInputError(faults);
    const { input } = opened;
    const init = request.init === null ? null : await readInitialWeights(request.init);
    const identities = await input.identify(report.checked, signal);
    const places = placesOf(opened, crosscoder, report.warn);
    const saes = configs.map(({ label, own, config }): PlannedSae => {
      const folder = path.join(out, label);
      const place = places(own);
      return { label, folder, config, own, place, resume: null, failure: null, metricsFrom: folder };
    });
    const evaluation = evaluationOf(request.evaluation);
    const record = {
      ...recordOf(opened.locations, identities),
      live: liveRecord(request.live, evaluation),
      shuffle: request.shuffle,
      // A sweep over seeds changes the weights' beginnings; the rows come in one order for all.
      order_seed: saes[0]!.config.seed,
      metadata: input.metadata(request.metadata),
      labels: saes.map(({ label }) => label),
    };
    return {
      out,
      begun: false,
      step: 0,
      begunOn: null,
      saes,
      init,
      input,
      within: within(opened, evaluation),
      record,
    };
  } catch (error) {
    await opened?.input.close();
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
  faults.push(...otherEvaluation(request.evaluation, record));
  const live = request.live ?? record.live;
  if (request.live === null && live !== null && request.data.activations.length > 0) {
    const message = "The run was begun on a language model, and goes on with that; leave --activations out.";
    faults.push({ path: "--activations", message });
  }
  const locations = locationsOf(request.data, record);
  const crosscoder = saved[0]!.config.architecture === "crosscoder";
  const opened = await tryOpen(locations, live, crosscoder, faults);
  try {
    await refuseOtherOptions(request, saved, opened?.input ?? null, faults);
    if (faults.length > 0 || opened === null) throw new InvalidInputError(faults);
    const { input } = opened;
    const { step, states, failures } = await newestSavedStep(saved, place.step, report.warn);
    const init = step > 0 || request.init === null ? null : await readInitialWeights(request.init);
    const identities = await input.identify(report.checked, signal);
    if (!sameData(identities, record.data)) {
      throw new InvalidInputError([
        {
          path: live === null ? "--activations" : "--model",
          message:
            live === null
              ? "These are other activations than the run was begun with. Give those again, or begin a new run in another --out."
              : "This is another model, other tokens or other hook points than the run was begun with. Give those again, or begin a new run in another --out.",
        },
      ]);
    }
    const places = placesOf(opened, crosscoder, report.warn);
    const saes = saved.map(({ label, folder, config }): PlannedSae => {
      const own = input.separate.find(({ hook }) => label.split(",")[0] === hook) ?? null;
      return {
        label,
        folder: path.join(out, label),
        config,
        own,
        place: places(own),
        resume: states.get(label) ?? null,
        failure: failures.get(label) ?? null,
        metricsFrom: folder,
      };
    });
    const { adapter: begunOn, ...rest } = record;
    const evaluation = record.live?.evaluation ?? evaluationOf(request.evaluation);
    return {
      out,
      begun,
      step,
      begunOn,
      saes,
      init,
      input,
      within: within(opened, evaluation),
      record: { ...rest, ...recordOf(opened.locations, identities), live: liveRecord(live, evaluation) },
    };
  } catch (error) {
    await opened?.input.close();
    throw error;
  }
}

/** What a run trains on, open. */
type Opened = { input: TrainingInput; live: LiveInput | null; locations: DataLocations };

async function tryOpen(
  locations: DataLocations,
  live: LiveLocations | null,
  joint: boolean,
  faults: Fault[],
): Promise<Opened | null> {
  try {
    if (live !== null) {
      if (faults.some(({ path: at }) => ["--model", "--tokens", "--hooks"].includes(at))) return null;
      const input = await openLiveInput(live, joint);
      return { input, live: input, locations };
    }
    if (locations.activations.length === 0) return null;
    const data = await openData(locations);
    return { input: storedInput(data, joint), live: null, locations: data.locations };
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    const option = (role: string) => (role.startsWith("--") ? role : `--${role}`);
    faults.push(...error.faults.map(({ path: role, message }) => ({ path: option(role), message })));
    return null;
  }
}

function within({ live }: Opened, evaluation: Evaluation): TrainPlan["within"] {
  return live === null ? null : { live, evaluation };
}

function evaluationOf({ every_steps, n_sequences }: GivenEvaluation): Evaluation {
  return { every_steps, n_sequences: n_sequences ?? defaultEvaluationSequences };
}

/** A run is measured as it was begun; what is given again must be the same. */
function otherEvaluation(given: GivenEvaluation, { live }: RunRecord): Fault[] {
  const options = [
    { option: "--eval-every", asked: given.every_steps, is: live?.evaluation.every_steps },
    { option: "--eval-sequences", asked: given.n_sequences, is: live?.evaluation.n_sequences },
  ];
  return options
    .filter(({ asked, is }) => asked !== null && asked !== is)
    .map(({ option, is }) => ({
      path: option,
      message: `The run was begun ${is == null ? "without it" : `with ${is}`}, and goes on so.`,
    }));
}

/** Where the SAE of some hook point is measured within the model; warns of what is not, or not on held-out text. */
function placesOf(
  { live }: Opened,
  crosscoder: boolean,
  warn: (message: string) => void,
): (own: HookColumns | null) => PlaceWithin | null {
  if (live === null || crosscoder) return () => null;
  const places = new Map<string, PlaceWithin>();
  for (const hook of live.hooks) {
    const place = { hook, hook_out: live.target_hook };
    const why = misplaced(live.model, place);
    if (why === null) places.set(hook, place);
    else warn(`${why} The SAE of ${hook} is not measured within the model.`);
  }
  const note = notHeldOut(live.tokens);
  if (note !== null && places.size > 0) warn(note);
  return (own) => places.get(own?.hook ?? live.hooks[0]!) ?? null;
}

function liveRecord(live: LiveLocations | null, evaluation: Evaluation): RunRecord["live"] {
  if (live === null) return null;
  return {
    model: path.resolve(live.model),
    tokens: path.resolve(live.tokens),
    hooks: [...live.hooks],
    target_hook: live.target_hook,
    evaluation,
  };
}

async function givenOptions(request: TrainRequest, faults: Fault[]): Promise<Record<string, unknown>> {
  if (request.config === null) return request.overrides;
  const file = await readConfigFile(request.config);
  faults.push(...file.faults);
  return { ...file.options, ...request.overrides };
}

/** A configuration for each variant, and each of several hook points, as far as they are without fault. */
function configsOf(
  given: Record<string, unknown>,
  variants: readonly Variant[],
  input: TrainingInput | null,
  faults: Fault[],
): { label: string; own: HookColumns | null; config: TrainingConfig }[] {
  const separate = input?.separate ?? [];
  return (separate.length === 0 ? [null] : separate).flatMap((own) =>
    variants.flatMap(({ label, options }) => {
      const { config, faults: found } = trainingConfig({ ...given, ...options }, widthsFor(own, input));
      for (const fault of found) {
        const known = faults.some(({ path: at, message }) => at === fault.path && message === fault.message);
        if (!known) faults.push(fault);
      }
      return config === null ? [] : [{ label: labelOf(own, label), own, config }];
    }),
  );
}

/** An SAE's name among several, which is also its folder's. */
function labelOf(own: HookColumns | null, variant: string): string {
  return [own?.hook ?? "", variant].filter((part) => part !== "").join(",");
}

function widthsFor(own: HookColumns | null, input: TrainingInput | null): GivenWidths | null {
  if (input === null) return null;
  return own === null ? input.widths : { inputs: [own.columns[1]], target: input.widths.target };
}

/** A run goes on with its own options; those that are given again must be the same. */
async function refuseOtherOptions(
  request: TrainRequest,
  saved: readonly { label: string; config: TrainingConfig }[],
  input: TrainingInput | null,
  faults: Fault[],
): Promise<void> {
  if (request.sweep.length > 0) {
    const { variants } = sweepVariants(request.sweep);
    const hooks = input === null || input.separate.length === 0 ? [null] : input.separate;
    const labels = hooks.flatMap((own) => variants.map(({ label }) => labelOf(own, label))).join(" ");
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
    const hook = input?.separate.find(({ hook }) => swept.has(hook)) ?? null;
    const { config: wanted, faults: found } = trainingConfig({ ...given, ...own }, widthsFor(hook, input));
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
    hooks: given.hooks ?? [],
    target_hook: given.target_hook ?? null,
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
