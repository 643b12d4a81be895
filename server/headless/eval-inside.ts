import { openGpu } from "../../gpu/device/node.ts";
import { requireHookPoint, UnknownHookError } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import type { LocalInvocation } from "../cli/commands.ts";
import { table } from "../cli/format.ts";
import { UsageError } from "../cli/usage.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { readSae } from "../formats/formats.ts";
import { openTokenSet } from "../tokens/token-set.ts";
import { evaluateWithin, evaluationSequences, misplaced, notHeldOut } from "./evaluate-within.ts";
import { exitCode } from "./exit-code.ts";
import { hookFault } from "./hook-names.ts";
import { Interruption } from "./interruption.ts";
import { misfits, openWholeModel } from "./live-data.ts";
import { figuresOf, type ModelFigures } from "./model-figures.ts";
import { Progress } from "./progress.ts";
import { saeIn } from "./run-folder.ts";

/** Sequences where none are asked for. */
const defaultSequences = 64;

/** `facet eval --model`: what the model loses when an SAE's reconstruction takes the place of what it computed. */
export async function evaluateInside({ output, options, json }: LocalInvocation): Promise<number> {
  const last = (name: string) => options.get(name)?.at(-1) ?? null;
  const [folder, model, tokens] = [last("sae"), last("model"), last("tokens")];
  if (folder === null) throw new UsageError("eval needs --sae, the folder or file of an SAE.");
  if (model === null || tokens === null) {
    throw new UsageError("eval --model needs --tokens, the folder that tokenize made.");
  }
  const alien = ["activations", "targets", "tensor", "target-tensor"].find((name) => options.has(name));
  if (alien !== undefined) {
    throw new UsageError(
      `--${alien} belongs to an evaluation on stored activations; leave --model out for that.`,
    );
  }
  const most = sequenceCount(last("sequences"));
  const interruption = new Interruption();
  const { sae, notes } = await readSae(saeIn(folder)).catch((error: unknown) => {
    interruption.dispose();
    throw error;
  });
  for (const note of notes) output.err(`Note: ${note}`);
  const undo: (() => unknown)[] = [() => interruption.dispose()];
  try {
    const opened = await openWholeModel(model);
    undo.push(() => opened.close());
    const set = await openTokenSet(tokens);
    undo.push(() => set.close());
    const hook = last("hook") ?? sae.config.metadata.hook_name ?? null;
    const hook_out = sae.config.transcoder
      ? (last("target-hook") ?? sae.config.metadata.hook_name_out ?? null)
      : null;
    const faults = [...misfits(opened, set), ...placeFaults(opened.spec, sae.config, hook, hook_out)];
    if (faults.length > 0) throw new InvalidInputError(faults);
    const note = notHeldOut(set);
    if (note !== null) output.err(`Note: ${note}`);
    const gpu = await openGpu(last("adapter") === null ? {} : { adapter: last("adapter")! });
    undo.push(() => gpu.close());
    const { n_sequences } = evaluationSequences(set, most);
    const progress = new Progress({
      unit: "sequence",
      total: n_sequences,
      line: json ? output.err : output.out,
      rewrite: output.rewrite,
    });
    const figures = figuresOf(
      await evaluateWithin({
        gpu,
        model: opened,
        tokens: set,
        hook: hook!,
        hook_out,
        sae,
        n_sequences: most,
        signal: interruption.signal,
        onProgress: (done, _, stage) => {
          if (stage === "losses") progress.update(done);
        },
      }),
    );
    if (json) output.out(JSON.stringify({ sae: folder, hook, hook_out, n_sequences, ...figures }));
    else for (const line of lines(figures)) output.out(line);
    return exitCode.done;
  } finally {
    for (const close of undo.reverse()) await close();
  }
}

function sequenceCount(given: string | null): number {
  if (given === null) return defaultSequences;
  const count = Number(given);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new UsageError(`--sequences must be a whole number above 0, not ${given}.`);
}

/** Why an SAE cannot be put into a model at a place. */
function placeFaults(
  spec: ModelSpec,
  config: SaeConfig,
  hook: string | null,
  hook_out: string | null,
): Fault[] {
  if (config.n_hook_points > 1) {
    const message =
      "This is a crosscoder, which reads several hook points and has no one place within the model.";
    return [{ path: "--sae", message }];
  }
  const places = [
    { option: "--hook", name: hook, width: config.d_in },
    ...(config.transcoder ? [{ option: "--target-hook", name: hook_out, width: config.d_out }] : []),
  ];
  const faults = places.flatMap(({ option, name, width }): Fault[] => {
    if (name === null) {
      return [{ path: option, message: "The SAE does not say which hook point it belongs to; name it." }];
    }
    try {
      const found = requireHookPoint(spec, name);
      if (found.width === width) return [];
      const message = `${name} has width ${found.width} in this model, but the SAE has ${width}.`;
      return [{ path: option, message }];
    } catch (error) {
      if (!(error instanceof UnknownHookError)) throw error;
      return [{ path: option, message: hookFault(spec, error) }];
    }
  });
  if (faults.length > 0 || hook === null) return faults;
  const why = misplaced({ spec }, { hook, hook_out });
  return why === null ? [] : [{ path: places.at(-1)!.option, message: why }];
}

function lines(figures: ModelFigures): string[] {
  const rows = Object.entries(figures).flatMap(([name, value]) =>
    typeof value === "number" ? [[name, Number.isInteger(value) ? String(value) : value.toPrecision(6)]] : [],
  );
  return table(["metric", "value"], rows);
}
