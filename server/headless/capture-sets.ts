import path from "node:path";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import type { CapturedManifest } from "../artifacts/captured-manifest.ts";
import { type Capture, captureActivations, refuseMisfits } from "../captures/capture.ts";
import { type CaptureForecast, forecastCapture } from "../captures/forecast.ts";
import { rowBytes, setBytes } from "../captures/set-bytes.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { bytes, duration } from "../cli/format.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { readModelManifest } from "../models/manifest.ts";
import { openModelFolder } from "../models/model-folder.ts";
import { modelHash } from "../models/model-hash.ts";
import { openTokenSet } from "../tokens/token-set.ts";
import type { CaptureRequest } from "./capture-request.ts";
import { exitCode, InterruptedError } from "./exit-code.ts";
import { GivenOptions } from "./given-options.ts";
import { Interruption } from "./interruption.ts";
import { Progress } from "./progress.ts";

/** What is asked of sets besides the rest of a capture. */
interface SetOptions {
  dtype: Capture["dtype"];
  excluded_token_ids: number[];
  outlier_norm: number | null;
  /** Most tokens of a file of rows; null: as many as make a file of a bearable size. */
  shard_tokens: number | null;
  /** Whether to say what it would take, and do nothing. */
  estimate: boolean;
}

/** Throws `InvalidInputError` with everything that is wrong. */
function setOptions(options: ReadonlyMap<string, readonly string[]>): SetOptions {
  const given = new GivenOptions(options);
  const shard_tokens = given.number("shard-tokens");
  if (shard_tokens !== null && !(Number.isSafeInteger(shard_tokens) && shard_tokens > 0)) {
    given.fault("shard-tokens", `It is a whole number above 0, not ${shard_tokens}.`);
  }
  const asked = {
    dtype: given.choice("dtype", ["float16", "float32"]) ?? "float16",
    excluded_token_ids: tokenIds(options.get("exclude-tokens") ?? [], given.faults),
    outlier_norm: given.number("outlier-norm"),
    shard_tokens,
    estimate: options.has("estimate"),
  } as const;
  if (given.faults.length > 0) throw new InvalidInputError(given.faults);
  return asked;
}

function tokenIds(lists: readonly string[], faults: Fault[]): number[] {
  const words = lists.flatMap((list) => list.split(",")).map((word) => word.trim());
  const ids = words.map((word) => (/^\d{1,9}$/.test(word) ? Number(word) : null));
  const wrong = words.filter((_, index) => ids[index] === null);
  if (wrong.length > 0) {
    const message = `They are ids of tokens with commas between them: 50256,198; not ${wrong.join(", ")}.`;
    faults.push({ path: "--exclude-tokens", message });
  }
  return ids.filter((id) => id !== null);
}

/** `facet capture` of a token set: an activation set for each hook point, in a folder of its name. */
export async function captureSets(
  { output, options, json }: LocalInvocation,
  request: CaptureRequest,
): Promise<number> {
  const asked = setOptions(options);
  const interruption = new Interruption();
  const say = json ? output.err : output.out;
  try {
    return await opened(request, async (parts) => {
      const capture = {
        ...parts,
        ...asked,
        precision: request.precision,
        batch_size: request.batch_size,
        signal: interruption.signal,
      };
      const folder = path.resolve(request.out);
      if (asked.estimate) {
        const forecast = await forecastCapture({ ...capture, hooks: request.hooks, folder });
        if (json) output.out(JSON.stringify(forecast));
        else for (const one of forecastLines(forecast)) output.out(one);
        return exitCode.done;
      }
      const widths = refuseMisfits({ ...capture, hooks: request.hooks }).map(({ width }) => width);
      const rows = widths.map((d_in) => rowBytes({ d_in, dtype: asked.dtype }));
      const { tokens, model } = parts;
      const total = tokens.n_sequences * tokens.length;
      const all = rows.reduce((sum, row) => sum + setBytes(tokens.manifest, row), 0);
      say(`${total.toLocaleString("en")} tokens, ${bytes(all)} in ${request.out}`);
      const manifest = await readModelManifest(request.model);
      const model_sha256 = manifest?.sha256 ?? (await modelHash(request.model, interruption.signal));
      let progress: Progress | null = null;
      const began = performance.now();
      const { manifests, tokens_per_second } = await captureActivations({
        ...capture,
        sets: request.hooks.map((hook) => ({ hook, folder: path.join(folder, hook) })),
        ...(asked.shard_tokens === null ? {} : { file_bytes: asked.shard_tokens * Math.max(...rows) }),
        model_name: model.name,
        model_sha256,
        dataset_name: tokens.manifest.dataset.name,
        onProgress: ({ tokens: done }) => {
          progress ??= new Progress({ unit: "token", total, done, line: say, rewrite: output.rewrite });
          progress.update(done);
        },
      }).finally(() => progress?.end());
      const seconds = (performance.now() - began) / 1_000;
      const summary = { out: request.out, tokens: total, seconds, tokens_per_second, sets: manifests };
      if (json) output.out(JSON.stringify({ ...summary, sets: manifests.map(withoutMean) }));
      else for (const one of summaryLines(summary)) output.out(one);
      return exitCode.done;
    });
  } catch (error) {
    const { received } = interruption;
    if (received === null || asked.estimate) throw error;
    const message = `Stopped; what was captured is kept. The same command goes on with it.`;
    throw new InterruptedError(received.signal, message);
  } finally {
    interruption.dispose();
  }
}

type Parts = Pick<Capture, "gpu" | "model" | "tokens">;

async function opened<T>(
  { model: folder, tokens: tokensFolder, adapter }: CaptureRequest,
  work: (parts: Parts) => Promise<T>,
): Promise<T> {
  const closing: (() => Promise<void> | void)[] = [];
  try {
    const model = await openModelFolder(folder);
    closing.unshift(() => model.close());
    const tokens = await openTokenSet(tokensFolder);
    closing.unshift(() => tokens.close());
    const gpu: Gpu = await openGpu(adapter === null ? {} : { adapter });
    closing.unshift(() => gpu.close());
    return await work({ gpu, model, tokens });
  } finally {
    for (const close of closing) await close();
  }
}

/** A mean row is long, and stands in the set's manifest. */
function withoutMean({ mean: _mean, shards, ...rest }: CapturedManifest) {
  return { ...rest, shards: shards.length };
}

function forecastLines(forecast: CaptureForecast): string[] {
  const { sets, tokens, free_bytes, gpu_bytes, host_bytes, tokens_per_second, seconds, adapter } = forecast;
  return [
    ...sets.map(({ hook, width, bytes: own }) => `${hook} [${width}]: ${bytes(own)}`),
    `Disk: ${bytes(forecast.bytes)}, of which ${bytes(free_bytes)} are free`,
    `Memory: ${bytes(gpu_bytes)} on the GPU, ${bytes(host_bytes)} besides for ${forecast.n_sequences_together} sequences together`,
    `Time: ${duration(seconds)} for ${tokens.toLocaleString("en")} tokens, at ${Math.round(tokens_per_second).toLocaleString("en")} tokens/s measured on ${adapter}`,
  ];
}

function summaryLines({
  out,
  sets,
  tokens,
  seconds,
  tokens_per_second,
}: {
  out: string;
  sets: readonly CapturedManifest[];
  tokens: number;
  seconds: number;
  tokens_per_second: number | null;
}): string[] {
  return [
    tokens_per_second === null
      ? "All was captured already."
      : `${tokens.toLocaleString("en")} tokens in ${duration(seconds)}, ${Math.round(tokens_per_second)} tokens/s.`,
    ...sets.map(
      ({ hook_name, d_in, n_tokens, held_out_tokens, bytes: size, mask_counts: { excluded, outlier } }) =>
        `  ${hook_name} [${n_tokens}, ${d_in}] and ${held_out_tokens} rows held out, ${excluded} excluded, ${outlier} outliers, ${bytes(size)}`,
    ),
    `Activation sets in ${out}, a folder for each hook point`,
  ];
}
