import { type TokenReader, tokenKind } from "../data/tokens.ts";
import type { Gpu } from "../device/gpu.ts";
import { readbackSliceBytes } from "../device/readback.ts";
import { planForward } from "../lm/allocation.ts";
import { NonFiniteModelError } from "../lm/language-model.ts";
import type { ModelSpec } from "../lm/model-spec.ts";
import type { Precision } from "../lm/precision.ts";
import { SplicedModel } from "../lm/splice.ts";
import { SpliceError, type SpliceVariant, spliceVariants } from "../lm/splice-plan.ts";
import type { WeightSource } from "../lm/weights.ts";
import type { Sae, SaeConfig } from "../sae/sae.ts";
import { SaeOnGpu } from "../sae/sae-on-gpu.ts";
import { frequencyHistogram, type SaeHistograms } from "./sae-histograms.ts";
import { rowStatistics, SaeSplice } from "./sae-splice.ts";

export interface EvaluateInModelOptions {
  gpu: Gpu;
  spec: ModelSpec;
  weights: WeightSource;
  /** Of the model's weights; default f32. */
  precision?: Precision;
  tokens: TokenReader;
  /** Hook point that the SAE reads. */
  hook: string;
  /** Hook point that a transcoder replaces, which the pass comes by later; default: `hook`. */
  hook_out?: string;
  sae: Sae;
  first_sequence: number;
  n_sequences: number;
  /** Sequences of one pass; results do not depend on it but for the order in which they are added up. */
  sequences_together?: number;
  /** Text tokens that go through the SAE at once; default: as many as a pass has, or 64 MiB of pre-activations. */
  tokens_together?: number;
  /** What mean ablation puts in place, [d_out]; default: the mean of the evaluated tokens, from passes of their own. */
  mean?: Float32Array;
  signal?: AbortSignal;
  /** `sequences` of `n_sequences` are done in this stage; there is no "mean" where the mean is given. */
  onProgress?(progress: { stage: "mean" | "losses"; sequences: number; n_sequences: number }): void;
}

/**
 * What an SAE is worth within its language model. Its reconstruction takes the place of the activations of text tokens;
 * special and padding tokens keep theirs (SAEBench's exclude_special_tokens_from_reconstruction). Ablation does the same
 * with zeros or the mean; SAEBench ablates special tokens too. Losses and divergences are means over the predictions whose
 * target is a text token; SAEBench takes those that are made at one. x is what is replaced, x̂ what comes in its place.
 */
export interface ModelEvaluation {
  /** Text tokens whose activations were replaced. */
  n_tokens: number;
  n_predictions: number;
  /** Mean −log p of the next token in nats: of the model itself, and with x̂, zeros, or the mean of x in the place of x. */
  ce_clean: number;
  ce_spliced: number;
  ce_zero: number;
  ce_mean: number;
  /** (ce_zero − ce_spliced) / (ce_zero − ce_clean) (SAELens, SAEBench ce_loss_score); null where ablation changes nothing. */
  loss_recovered: number | null;
  /** The same with ce_mean. */
  loss_recovered_mean: number | null;
  /** ce_spliced − ce_clean (Gemma Scope's delta LM loss). */
  delta_ce: number;
  /** Mean KL(clean ‖ ·) of the next token's distribution in nats; rounding may leave −1e-7 where there is none. */
  kl: number;
  kl_zero: number;
  kl_mean: number;
  /** (kl_zero − kl) / kl_zero (SAELens, SAEBench kl_div_score); null where ablation changes nothing. */
  kl_recovered: number | null;
  /** Features that fire on a text token, in the mean. */
  l0: number;
  /** As in reconstruction.ts, over the text tokens; null where x does not vary, or is zero. */
  mse: number;
  fvu: number | null;
  explained_variance: number | null;
  normalized_mse: number | null;
  cossim: number | null;
  l2_ratio: number | null;
  /** Features that fired on none of the text tokens. */
  dead_features: number;
  /** Share of the text tokens on which each feature fires, [d_sae], and its histogram. */
  feature_frequency: Float64Array;
  density_histogram: NonNullable<SaeHistograms["frequency"]>;
}

/** Tokens of a pass by default. */
const passTokens = 1_024;

/** Sequences of a pass by default. */
function sequencesOfAPass(length: number): number {
  return Math.max(1, Math.floor(passTokens / length));
}

/**
 * Bytes on the GPU that `evaluateInModel` takes by default with an SAE of these sizes, at most: of the model, of the SAE,
 * and of a staging buffer while results are read.
 * @throws UnknownHookError, and RangeError for sizes that the model cannot take
 */
export function inModelBytes({
  spec,
  precision = "f32",
  hook,
  hook_out = hook,
  config,
  length,
  n_sequences,
}: Pick<EvaluateInModelOptions, "spec" | "precision" | "hook" | "hook_out"> & {
  config: SaeConfig;
  /** Tokens of a sequence. */
  length: number;
  n_sequences: number;
}): number {
  const together = Math.min(n_sequences, sequencesOfAPass(length));
  const apart = hook !== hook_out;
  const model = planForward(spec, everyAdapter, {
    hooks: apart ? [hook] : [],
    n_sequences: together,
    length,
    logits: true,
    precision,
    splice: hook_out,
  });
  let bytes = readbackSliceBytes;
  for (const buffer of model.buffers.values()) bytes += Math.ceil(buffer.bytes / 4) * 4;
  const passRows = together * length;
  const rows = SaeOnGpu.rows(config, passRows);
  return (
    bytes + SaeOnGpu.bytes(config, passRows) + SaeSplice.bytes({ rows, passRows, d_out: config.d_out, apart })
  );
}

/** Binds any buffer: which of them are too large, the adapter says when the model is opened. */
const everyAdapter = { limits: { max_storage_buffer_binding_size: Number.POSITIVE_INFINITY } };

/**
 * Runs a model over sequences with and without an SAE at a hook point. All on the GPU: what comes back are sums of each
 * token and column. Each pass is run to the hook point once (twice where the mean is not given) and from there on to the
 * logits four times.
 * @throws RangeError for numbers, widths or an SAE that do not fit, and where there is no text to predict; SpliceError,
 *   UnknownHookError and ModelWeightsError; NonFiniteModelError; the ledger's errors; the reason of `signal`.
 */
export async function evaluateInModel(options: EvaluateInModelOptions): Promise<ModelEvaluation> {
  const { gpu, tokens, sae, hook, first_sequence, n_sequences, mean } = options;
  const { hook_out = hook } = options;
  const { d_out } = sae.config;
  const { length } = tokens;
  if (
    !isCount(first_sequence, 0) ||
    !isCount(n_sequences, 1) ||
    first_sequence + n_sequences > tokens.n_sequences
  ) {
    throw new RangeError(
      `There are ${tokens.n_sequences} sequences, and not ${n_sequences} of them from ${first_sequence} on.`,
    );
  }
  const together = options.sequences_together ?? sequencesOfAPass(length);
  if (!isCount(together, 1)) throw new RangeError(`A pass takes one sequence or more, not ${together}.`);
  const { tokens_together } = options;
  if (tokens_together !== undefined && !isCount(tokens_together, 1)) {
    throw new RangeError(`The SAE takes one token or more at once, not ${tokens_together}.`);
  }
  if (mean !== undefined && mean.length !== d_out) {
    throw new RangeError(`The mean has ${mean.length} numbers, but ${d_out} are reconstructed.`);
  }
  if (sae.config.transcoder && options.hook_out === undefined) {
    throw new SpliceError("A transcoder replaces another hook point than it reads: name it as hook_out.");
  }
  const atOnce = Math.min(together, n_sequences);
  const passRows = atOnce * length;
  const cleanup: (() => void)[] = [];
  try {
    const size = { n_sequences: atOnce, length };
    const model = await SplicedModel.open({ ...options, ...size, hook_out });
    cleanup.push(() => model.close());
    const onGpu = await SaeOnGpu.open(gpu, sae, Math.min(passRows, tokens_together ?? passRows));
    cleanup.push(() => onGpu.close());
    const splice = await SaeSplice.open({
      gpu,
      sae: onGpu,
      input: model.input,
      output: model.output,
      passRows,
    });
    cleanup.push(() => splice.close());
    const run = new InModelRun(options, atOnce, model, splice, d_out);
    splice.setMean(Float32Array.from(mean ?? (await run.mean())));
    await run.losses();
    if (!(await onGpu.finite())) {
      throw new NonFiniteModelError("The SAE's pre-activations are not finite on these activations.");
    }
    return run.result(await onGpu.firings());
  } finally {
    for (const undo of cleanup.reverse()) undo();
  }
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

interface Batch {
  ids: Uint32Array<ArrayBuffer>;
  kinds: Uint8Array<ArrayBuffer>;
  /** Rows that are text. */
  text: Uint32Array<ArrayBuffer>;
}

/** One evaluation: what is run, and the sums so far. */
class InModelRun {
  readonly #options: EvaluateInModelOptions;
  readonly #together: number;
  readonly #model: SplicedModel;
  readonly #splice: SaeSplice;
  readonly #errors: Float64Array;
  #tokens = 0;
  #predictions = 0;
  readonly #losses: Record<SpliceVariant, number> = { clean: 0, spliced: 0, zero: 0, mean: 0 };
  readonly #divergences: Record<SpliceVariant, number> = { clean: 0, spliced: 0, zero: 0, mean: 0 };
  #error = 0;
  #spread = 0;
  /** Sums of ratios of single rows, and of how many rows they are. */
  readonly #ratios = { normalized: 0, cosine: 0, length: 0 };
  readonly #ratioRows = { normalized: 0, cosine: 0, length: 0 };

  constructor(
    options: EvaluateInModelOptions,
    together: number,
    model: SplicedModel,
    splice: SaeSplice,
    d_out: number,
  ) {
    this.#options = options;
    this.#together = together;
    this.#model = model;
    this.#splice = splice;
    this.#errors = new Float64Array(d_out);
  }

  /** Mean of the activations that are replaced, over the text tokens, f64 [d_out]. */
  async mean(): Promise<Float64Array> {
    const sums = new Float64Array(this.#errors.length);
    let rows = 0;
    for await (const { ids, text } of this.#batches("mean")) {
      this.#model.begin(ids);
      this.#splice.choose(text);
      await this.#splice.addOutput(sums);
      rows += text.length;
    }
    return sums.map((sum) => sum / Math.max(1, rows));
  }

  async losses(): Promise<void> {
    for await (const batch of this.#batches("losses")) {
      this.#model.begin(batch.ids);
      this.#splice.choose(batch.text);
      this.#model.end("clean");
      this.#model.restore();
      this.#addRows(await this.#splice.reconstruct(this.#errors));
      this.#model.end("spliced");
      for (const variant of ["zero", "mean"] as const) {
        this.#model.restore();
        this.#splice.ablate(variant);
        this.#model.end(variant);
      }
      await this.#addPredictions(batch);
    }
    if (this.#predictions === 0) throw new RangeError("There is no text to predict in these sequences.");
  }

  result(firings: Uint32Array): ModelEvaluation {
    const tokens = this.#tokens;
    const ce = (variant: SpliceVariant) => this.#losses[variant] / this.#predictions;
    const kl = (variant: SpliceVariant) => this.#divergences[variant] / this.#predictions;
    const recovered = (ablated: number) => quotient(ablated - ce("spliced"), ablated - ce("clean"));
    const feature_frequency = Float64Array.from(firings, (count) => count / tokens);
    // Σ_d of the rows' number times the variance of e.
    const errorSpread = this.#error - this.#errors.reduce((sum, total) => sum + (total * total) / tokens, 0);
    return {
      n_tokens: tokens,
      n_predictions: this.#predictions,
      ce_clean: ce("clean"),
      ce_spliced: ce("spliced"),
      ce_zero: ce("zero"),
      ce_mean: ce("mean"),
      loss_recovered: recovered(ce("zero")),
      loss_recovered_mean: recovered(ce("mean")),
      delta_ce: ce("spliced") - ce("clean"),
      kl: kl("spliced"),
      kl_zero: kl("zero"),
      kl_mean: kl("mean"),
      kl_recovered: quotient(kl("zero") - kl("spliced"), kl("zero")),
      l0: feature_frequency.reduce((sum, share) => sum + share, 0),
      mse: this.#error / tokens,
      fvu: quotient(this.#error, this.#spread),
      explained_variance: this.#spread > 0 ? 1 - errorSpread / this.#spread : null,
      normalized_mse: quotient(this.#ratios.normalized, this.#ratioRows.normalized),
      cossim: quotient(this.#ratios.cosine, this.#ratioRows.cosine),
      l2_ratio: quotient(this.#ratios.length, this.#ratioRows.length),
      dead_features: firings.reduce((dead, count) => dead + (count === 0 ? 1 : 0), 0),
      feature_frequency,
      density_histogram: frequencyHistogram(feature_frequency),
    };
  }

  async *#batches(stage: "mean" | "losses"): AsyncGenerator<Batch> {
    const { tokens, first_sequence, n_sequences, signal, onProgress } = this.#options;
    for (let done = 0; done < n_sequences; ) {
      signal?.throwIfAborted();
      const count = Math.min(this.#together, n_sequences - done);
      const first = first_sequence + done;
      const [ids, kinds] = await Promise.all([tokens.read(first, count), tokens.kinds(first, count)]);
      const text = [...kinds.keys()].filter((row) => kinds[row] === tokenKind.text);
      yield { ids, kinds, text: Uint32Array.from(text) };
      done += count;
      onProgress?.({ stage, sequences: done, n_sequences });
    }
  }

  #addRows(statistics: Float32Array): void {
    for (let at = 0; at < statistics.length; at += rowStatistics) {
      const [error, spread, square, output, inner] = statistics.subarray(at, at + 5) as unknown as [
        number,
        number,
        number,
        number,
        number,
      ];
      this.#tokens++;
      this.#error += error;
      this.#spread += spread;
      if (square > 0) this.#addRatio("normalized", error / square);
      if (square > 0) this.#addRatio("length", Math.sqrt(output / square));
      if (square > 0 && output > 0) this.#addRatio("cosine", inner / Math.sqrt(square * output));
    }
  }

  #addRatio(name: "normalized" | "cosine" | "length", value: number): void {
    this.#ratios[name] += value;
    this.#ratioRows[name]++;
  }

  async #addPredictions({ kinds }: Batch): Promise<void> {
    const { length } = this.#options.tokens;
    const results = await this.#model.results();
    for (let row = 0; row < kinds.length; row++) {
      if (row % length === length - 1 || kinds[row + 1] !== tokenKind.text) continue;
      this.#predictions++;
      for (const variant of spliceVariants) {
        this.#losses[variant] += results[variant].losses[row]!;
        this.#divergences[variant] += results[variant].divergences[row]!;
      }
    }
  }
}

function quotient(numerator: number, denominator: number): number | null {
  // Nothing recovered of a loss that ablation lowers is 0, not −0.
  return denominator === 0 ? null : numerator / denominator + 0;
}
