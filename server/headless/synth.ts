import { existsSync } from "node:fs";
import { SyntheticSource } from "../../gpu/data/synthetic.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { openGpu } from "../../gpu/device/node.ts";
import { comparable, evaluateRecovery } from "../../gpu/metrics/evaluate-recovery.ts";
import type { Recovery } from "../../gpu/metrics/recovery.ts";
import { trainOnTruth } from "../../gpu/metrics/train-on-truth.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import packageJson from "../../package.json" with { type: "json" };
import type { LocalInvocation } from "../cli/commands.ts";
import { duration, table } from "../cli/format.ts";
import { ConflictError, InvalidInputError } from "../errors.ts";
import { readSae } from "../formats/formats.ts";
import { writeSaeFolder } from "../formats/sae-folder.ts";
import { exitCode } from "./exit-code.ts";
import { Interruption } from "./interruption.ts";
import { Progress } from "./progress.ts";
import { saeIn } from "./run-folder.ts";
import { sampleFiles, writeSamples } from "./synth-files.ts";
import { type SynthRequest, synthRequest } from "./synth-request.ts";
import { TrainingLine } from "./training-line.ts";

/** What the parts of the command work with. */
interface Work {
  gpu: Gpu;
  source: SyntheticSource;
  request: SynthRequest;
  signal: AbortSignal;
  progress(unit: string, total: number): Progress;
  /** A line that is no result. */
  note(line: string): void;
}

/** The result, for --json and for a person. */
interface Answer {
  json: Record<string, unknown>;
  lines: string[];
}

/**
 * `facet synth`: samples of a generator whose true features are known, as a file; or an SAE trained on fresh ones; or
 * an SAE's score against them.
 */
export async function synth({ output, options, json }: LocalInvocation): Promise<number> {
  const request = synthRequest(options);
  for (const one of outputsOf(request)) {
    if (existsSync(one)) throw new ConflictError(`${one} is there already; name another --out.`);
  }
  const interruption = new Interruption();
  const line = json ? output.err : output.out;
  try {
    const gpu = await openGpu(request.adapter === null ? {} : { adapter: request.adapter });
    try {
      const work: Work = {
        gpu,
        source: new SyntheticSource(request.synthetic),
        request,
        signal: interruption.signal,
        progress: (unit, total) => new Progress({ unit, total, line, rewrite: output.rewrite }),
        note: output.err,
      };
      const answer = await answerOf(work);
      if (json) output.out(JSON.stringify({ preset: request.preset, ...answer.json }));
      else for (const text of answer.lines) output.out(text);
      return exitCode.done;
    } finally {
      gpu.close();
    }
  } finally {
    interruption.dispose();
  }
}

function outputsOf({ action }: SynthRequest): string[] {
  if (action.kind === "write") return Object.values(sampleFiles(action.out));
  return action.kind === "train" && action.out !== null ? [action.out] : [];
}

function answerOf(work: Work): Promise<Answer> {
  const { action } = work.request;
  switch (action.kind) {
    case "write":
      return write(work, action.out);
    case "train":
      return train(work, action.config, action.out);
    case "score":
      return score(work, action.sae);
  }
}

async function write({ gpu, source, request, signal, progress }: Work, out: string): Promise<Answer> {
  const tokens = request.tokens ?? 0;
  const shown = progress("row", tokens);
  const files = await writeSamples({
    gpu,
    source,
    tokens,
    out,
    dataset: request.preset,
    onRows: (done) => shown.update(done),
    signal,
  });
  return {
    json: { tokens, d_in: source.d_in, n_features: source.n_features, ...files },
    lines: [
      `${tokens} activations of width ${source.d_in} in ${files.activations}`,
      `${source.n_features} true features in ${files.truth}`,
      `Options of the generator in ${files.config}`,
    ],
  };
}

async function train(work: Work, config: TrainingConfig, out: string | null): Promise<Answer> {
  const { gpu, source, request, signal } = work;
  const metrics = new TrainingLine();
  let shown: Progress | null = null;
  const { outcomes, steps, seconds } = await trainOnTruth({
    gpu,
    source,
    configs: [config],
    signal,
    ...(request.tokens === null ? {} : { tokens: request.tokens }),
    onMetrics: ([rows = []], total) => {
      metrics.add("", rows);
      shown ??= work.progress("step", total);
      shown.update(rows.at(-1)?.step ?? 0, metrics.text());
    },
  });
  const [outcome] = outcomes;
  if (outcome === undefined || outcome instanceof Error) throw outcome;
  const { sae, feature_frequency, recovery } = outcome;
  if (out !== null) {
    const metadata = { ...sae.config.metadata, hook_name: "synthetic", dataset_name: request.preset };
    await writeSaeFolder(
      out,
      { ...sae, config: { ...sae.config, metadata } },
      {
        feature_frequency,
        runner_cfg: {
          trained_by: "facet",
          facet_version: packageJson.version,
          source: { kind: "synthetic", synthetic: request.synthetic },
          sae: config,
        },
      },
    );
  }
  const pace = `${steps} steps in ${duration(seconds)}, ${Math.round((steps * config.train_batch_size_tokens) / seconds)} tokens/s`;
  return {
    json: { architecture: config.architecture, seed: config.seed, steps, seconds, sae: out, ...recovery },
    lines: [`${pace}.`, ...scores(recovery), ...(out === null ? [] : [`SAE in ${out}`])],
  };
}

async function score({ gpu, source, request, note }: Work, given: string): Promise<Answer> {
  const { sae, notes } = await readSae(saeIn(given));
  for (const one of notes) note(`Note: ${one}`);
  const fault = comparable(sae, source.d_in);
  if (fault !== null) throw new InvalidInputError([{ path: "--score", message: fault }]);
  const { tokens } = request;
  const recovery = await evaluateRecovery({ gpu, source, sae, ...(tokens === null ? {} : { tokens }) });
  return { json: { sae: given, ...recovery }, lines: scores(recovery) };
}

function scores(recovery: Recovery): string[] {
  const rows = Object.entries(recovery).map(([name, value]: [string, number]) => [
    name,
    Number.isInteger(value) ? String(value) : value.toFixed(4),
  ]);
  return table(["score", "value"], rows);
}
