import { existsSync, statSync } from "node:fs";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { type HookPoint, requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import type { Precision } from "../../gpu/lm/precision.ts";
import packageJson from "../../package.json" with { type: "json" };
import { writeSlicedSafetensors } from "../artifacts/sliced-safetensors.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, duration } from "../cli/format.ts";
import { ConflictError, type Fault, InvalidInputError } from "../errors.ts";
import { loadModel } from "../models/load-model.ts";
import { type ModelFolder, openModelFolder } from "../models/model-folder.ts";
import { checkTokens, openTokenFile, type TokenFile } from "../models/token-file.ts";
import { sequencesTogether } from "./capture-batch.ts";
import { type CaptureRequest, captureRequest, captureSetOptions } from "./capture-request.ts";
import { captureSets } from "./capture-sets.ts";
import { exitCode } from "./exit-code.ts";
import { hookFault } from "./hook-names.ts";
import { Interruption } from "./interruption.ts";
import { Progress } from "./progress.ts";

/** All that a capture needs and that has been checked. */
interface CapturePlan {
  gpu: Gpu;
  model: ModelFolder;
  tokens: TokenFile;
  hooks: readonly HookPoint[];
  out: string;
  /** Sequences that go through the model together. */
  together: number;
  precision: Precision;
}

/** What a capture left. */
interface CaptureSummary {
  out: string;
  model: string;
  model_type: string;
  n_sequences: number;
  length: number;
  tokens: number;
  hooks: readonly HookPoint[];
  bytes: number;
  seconds: number;
  tokens_per_second: number;
  adapter: string;
}

/**
 * `facet capture`: runs a language model over token ids and keeps the activations of hook points: of a token set in
 * activation sets, of a file of ids in a file.
 */
export function capture(invocation: LocalInvocation): Promise<number> {
  const request = captureRequest(invocation.options);
  const ofSet = statSync(request.tokens, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return ofSet ? captureSets(invocation, request) : captureFile(invocation, request);
}

async function captureFile(
  { output, options, json }: LocalInvocation,
  request: CaptureRequest,
): Promise<number> {
  const foreign = captureSetOptions.filter((name) => options.has(name));
  if (foreign.length > 0) {
    throw new InvalidInputError(
      foreign.map((name) => ({
        path: `--${name}`,
        message: `It belongs to a folder of tokens, as facet tokenize makes it, but ${request.tokens} is no folder.`,
      })),
    );
  }
  const { out } = request;
  if (existsSync(out)) throw new ConflictError(`${out} is there already; name another --out.`);
  const interruption = new Interruption();
  try {
    const summary = await planned(request, interruption.signal, output.err, (plan) => {
      const begin = (total: number) => {
        const line = json ? output.err : output.out;
        return new Progress({ unit: "token", total, line, rewrite: output.rewrite });
      };
      return write(plan, begin, interruption.signal);
    });
    if (json) output.out(JSON.stringify(summary));
    else for (const line of lines(summary)) output.out(line);
    return exitCode.done;
  } finally {
    interruption.dispose();
  }
}

/** Opens and checks everything, cheapest first, does the work, and closes it again. */
async function planned<T>(
  request: CaptureRequest,
  signal: AbortSignal,
  note: (line: string) => void,
  work: (plan: CapturePlan) => Promise<T>,
): Promise<T> {
  const { out, precision } = request;
  const model = await openModelFolder(request.model);
  try {
    const { spec } = model;
    const hooks = chosenHookPoints(spec, request.hooks);
    const tokens = await openTokenFile(request.tokens, { vocabulary: spec.d_vocab, positions: spec.n_ctx });
    try {
      for (const one of tokens.notes) note(`Note: ${one}`);
      await checkTokens(tokens, signal);
      const gpu = await openGpu(request.adapter === null ? {} : { adapter: request.adapter });
      try {
        const { n_sequences, length } = tokens;
        const passes = { spec, hooks: hooks.map(({ name }) => name), n_sequences, length, precision };
        const together = Math.min(n_sequences, request.batch_size ?? sequencesTogether(gpu, passes));
        return await work({ gpu, model, tokens, hooks, out, together, precision });
      } finally {
        gpu.close();
      }
    } finally {
      await tokens.close();
    }
  } finally {
    await model.close();
  }
}

/** Throws `InvalidInputError` with every name that the model does not have. */
function chosenHookPoints(spec: ModelSpec, names: readonly string[]): HookPoint[] {
  const hooks: HookPoint[] = [];
  const faults: Fault[] = [];
  for (const name of names) {
    try {
      hooks.push(requireHookPoint(spec, name));
    } catch (error) {
      if (!(error instanceof UnknownHookError)) throw error;
      faults.push({ path: "--hooks", message: hookFault(spec, error) });
    }
  }
  if (faults.length > 0) throw new InvalidInputError(faults);
  return hooks;
}

async function write(
  plan: CapturePlan,
  begin: (total: number) => Progress,
  signal: AbortSignal,
): Promise<CaptureSummary> {
  const { gpu, model, tokens, hooks, out } = plan;
  const { n_sequences, length } = tokens;
  const shapes = hooks.map(({ name, width }) => ({ name, shape: [n_sequences, length, width] }));
  let seconds = 0;
  // The model is loaded within, so that a disk without the room is told of before.
  const written = await writeSlicedSafetensors(out, shapes, metadataOf(plan), async (writeSlice) => {
    const language = await loadModel(
      model,
      {
        gpu,
        hooks: hooks.map(({ name }) => name),
        n_sequences: plan.together,
        length,
        precision: plan.precision,
      },
      signal,
    );
    const progress = begin(n_sequences * length);
    const began = performance.now();
    try {
      for (let first = 0; first < n_sequences; first += plan.together) {
        signal.throwIfAborted();
        const count = Math.min(plan.together, n_sequences - first);
        const activations = await language.forward(await tokens.read(first, count));
        for (const [name, data] of activations) await writeSlice(name, first, data);
        progress.update((first + count) * length);
      }
      seconds = (performance.now() - began) / 1_000;
    } finally {
      progress.end();
      await language.close();
    }
  });
  return {
    out,
    model: model.name,
    model_type: model.spec.model_type,
    n_sequences,
    length,
    tokens: n_sequences * length,
    hooks,
    bytes: written,
    seconds,
    tokens_per_second: (n_sequences * length) / seconds,
    adapter: gpu.capabilities.adapter,
  };
}

/** What an import and a training run take their names from. */
function metadataOf({ model, hooks }: CapturePlan): Record<string, string> {
  return {
    model_name: model.name,
    model_type: model.spec.model_type,
    hook_names: hooks.map(({ name }) => name).join(","),
    facet_version: packageJson.version,
  };
}

function lines(summary: CaptureSummary): string[] {
  const { out, model, n_sequences, length, hooks, tokens, seconds, tokens_per_second } = summary;
  return [
    `${tokens} tokens in ${duration(seconds)}, ${Math.round(tokens_per_second)} tokens/s.`,
    ...hooks.map(({ name, width }) => `  ${name} [${n_sequences}, ${length}, ${width}]`),
    `Activations of ${model} in ${out}, ${bytes(summary.bytes)}`,
  ];
}
