import { bufferUsage } from "../device/constants.ts";
import { encodeDispatches } from "../device/dispatch.ts";
import type { Capabilities, Gpu } from "../device/gpu.ts";
import { type CopyRows, copyRowsUniformBytes, planCopyRows } from "../kernels/copy-rows.ts";
import { planForward } from "../lm/allocation.ts";
import { requireHookPoint } from "../lm/hook-points.ts";
import { type LanguageModel, openLanguageModel } from "../lm/language-model.ts";
import { groupPitch, pitch } from "../lm/layout.ts";
import type { ModelSpec } from "../lm/model-spec.ts";
import type { WeightSource } from "../lm/weights.ts";
import { LiveOrder, type LiveWindow } from "./live-order.ts";
import type { ActivationSource, BatchStream, OpenSource } from "./source.ts";
import { type TokenReader, tokenKind } from "./tokens.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST } = bufferUsage;

/** Tokens that go through the model together: a pass of fewer is bound by its dispatches. */
const tokensTogether = 4_096;
/** A window holds at least so many batches, so that the tokens of a sequence are far apart … */
const batchesOfWindow = 16;
/** … and so many tokens … */
const leastWindowTokens = 65_536;
/** … if they take no more than this. */
const mostWindowBytes = 2 ** 30;
/** Kinds that are read at a time. */
const kindsTogether = 2 ** 20;

export interface LiveSourceOptions {
  spec: ModelSpec;
  weights: WeightSource;
  tokens: TokenReader;
  /** Hook points whose rows stand side by side, in this order. */
  hooks: readonly string[];
  /** Of the order. */
  seed: number;
  /** Sequences at the end that are for evaluation alone; without any, evaluation takes from all. */
  held_out_sequences?: number;
  /** Tokens whose activations lie in the buffer together; without it as many as mix well. */
  bufferTokens?: number;
  /** Most sequences of a pass. */
  n_sequences_together?: number;
}

/**
 * What a language model computes, made while it is trained on: passes fill a window of rows on the GPU, from which
 * batches are gathered in random order. No activation is read back. Only text is taken: special tokens and padding are
 * context to the model and no rows. A batch is a function of its number alone, so that a resumed run makes its window
 * again and goes on with the very rows.
 */
export class LiveSource implements ActivationSource {
  /** Numbers of a row: those of all hook points. */
  readonly d_in: number;
  /** Not known before the tokens' kinds have been read. */
  readonly n_tokens = null;
  readonly #options: LiveSourceOptions;

  /** @throws UnknownHookError */
  constructor(options: LiveSourceOptions) {
    this.#options = options;
    this.d_in = options.hooks.reduce((sum, hook) => sum + requireHookPoint(options.spec, hook).width, 0);
  }

  /** Model, window and batch; of the vocabulary in one piece. */
  gpuBytes(maxRows: number): number {
    const { spec } = this.#options;
    const size = this.#size(maxRows);
    const unlimited = { limits: { max_storage_buffer_binding_size: 2 ** 40 } } as Capabilities;
    const { buffers } = planForward(spec, unlimited, size.forward);
    return (
      Array.from(buffers.values()).reduce((sum, { bytes }) => sum + bytes, 0) +
      4 * this.d_in * (size.windowTokens + maxRows) +
      4 * (size.forward.n_sequences * size.forward.length + maxRows) +
      copyRowsUniformBytes * (this.#options.hooks.length + 1)
    );
  }

  /**
   * Loads the model and reads every token's kind.
   * @throws RangeError where no token is text; what `openLanguageModel` and the reader throw.
   */
  async open(gpu: Gpu, maxRows: number): Promise<OpenSource> {
    const { tokens, held_out_sequences: apart = 0, seed } = this.#options;
    const { forward, windowTokens } = this.#size(maxRows);
    const counts = await textCounts(tokens);
    const windowSequences = Math.floor(windowTokens / tokens.length);
    const training = counts.slice(0, counts.length - apart);
    const order = (stream: BatchStream, part: Uint32Array, first: number) =>
      new LiveOrder(stream, { counts: part, first, windowSequences, seed });
    const orders = {
      training: order("training", training, 0),
      evaluation: apart > 0 ? order("evaluation", counts.slice(training.length), training.length) : null,
    };
    const evaluation = orders.evaluation?.n_rows ? orders.evaluation : order("evaluation", training, 0);
    if (orders.training.n_rows === 0) throw new RangeError("None of the tokens to train on is text.");
    const { spec, weights } = this.#options;
    const model = await openLanguageModel({ gpu, spec, weights, ...forward });
    try {
      const source = new OpenLiveSource(gpu, model, this.#options, {
        maxRows,
        windowTokens,
        d_in: this.d_in,
      });
      await source.plan(forward.n_sequences, { training: orders.training, evaluation });
      return source;
    } catch (error) {
      model.close();
      throw error;
    }
  }

  #size(maxRows: number) {
    const { tokens, hooks, bufferTokens, n_sequences_together } = this.#options;
    const { n_sequences, length } = tokens;
    const wanted = bufferTokens ?? Math.max(leastWindowTokens, batchesOfWindow * maxRows);
    const most = bufferTokens === undefined ? Math.floor(mostWindowBytes / (4 * this.d_in)) : wanted;
    const sequences = Math.min(n_sequences, Math.max(1, Math.floor(Math.min(wanted, most) / length)));
    const together = n_sequences_together ?? Math.max(1, Math.floor(tokensTogether / length));
    return {
      windowTokens: sequences * length,
      forward: { hooks, n_sequences: Math.min(sequences, together), length },
    };
  }
}

/** Tokens of each sequence that are text. */
async function textCounts(tokens: TokenReader): Promise<Uint32Array<ArrayBuffer>> {
  const { n_sequences, length } = tokens;
  const counts = new Uint32Array(n_sequences);
  const together = Math.max(1, Math.floor(kindsTogether / length));
  for (let first = 0; first < n_sequences; first += together) {
    const kinds = await tokens.kinds(first, Math.min(together, n_sequences - first));
    for (const [at, kind] of kinds.entries()) {
      if (kind === tokenKind.text) counts[first + Math.floor(at / length)]!++;
    }
  }
  return counts;
}

class OpenLiveSource implements OpenSource {
  readonly #gpu: Gpu;
  readonly #model: LanguageModel;
  readonly #tokens: TokenReader;
  readonly #hooks: readonly string[];
  readonly #d_in: number;
  readonly #maxRows: number;
  readonly #buffers: Record<"window" | "batch" | "index" | "textIndex", GPUBuffer>;
  readonly #uniforms: GPUBuffer[];
  #together = 1;
  #orders!: Record<BatchStream, LiveOrder>;
  /** One for each hook point: its text rows into the window. */
  #fill: CopyRows[] = [];
  #gather!: CopyRows;
  /** Of the window that lies in the buffer. */
  #key = "";
  #prepared = "";
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    gpu: Gpu,
    model: LanguageModel,
    { hooks, tokens }: LiveSourceOptions,
    size: { maxRows: number; windowTokens: number; d_in: number },
  ) {
    this.#gpu = gpu;
    this.#model = model;
    this.#tokens = tokens;
    this.#hooks = hooks;
    this.#d_in = size.d_in;
    this.#maxRows = size.maxRows;
    const row = 4 * size.d_in;
    const held: GPUBuffer[] = [];
    const allocate = (label: string, bytes: number, usage: number) => {
      held.push(gpu.ledger.allocate(`live/${label}`, bytes, usage));
      return held.at(-1)!;
    };
    try {
      this.#buffers = {
        window: allocate("window", row * size.windowTokens, STORAGE | COPY_DST),
        batch: allocate("batch", row * size.maxRows, STORAGE | COPY_SRC),
        index: allocate("index", 4 * size.maxRows, STORAGE | COPY_DST),
        textIndex: allocate("text", 4 * model.rows, STORAGE | COPY_DST),
      };
      this.#uniforms = Array.from({ length: hooks.length + 1 }, () =>
        allocate("uniform", copyRowsUniformBytes, UNIFORM | COPY_DST),
      );
    } catch (error) {
      for (const buffer of held) gpu.ledger.free(buffer);
      throw error;
    }
  }

  async plan(together: number, orders: Record<BatchStream, LiveOrder>): Promise<void> {
    this.#together = together;
    this.#orders = orders;
    const { window, batch, index, textIndex } = this.#buffers;
    const d_in = this.#d_in;
    let first = 0;
    let uniform = 0;
    const residents = this.#model.residents();
    for (const hook of this.#hooks) {
      const { buffer, layout } = residents.get(hook)!;
      const width = layout.groups * layout.size;
      const copy = await planCopyRows(
        this.#gpu,
        `live/${hook}`,
        {
          rows: this.#model.rows,
          width,
          x_pitch: pitch(layout),
          y_pitch: d_in,
          y_first: first,
          group: { size: layout.size, pitch: groupPitch(layout) },
        },
        { uniform: this.#uniforms[uniform++]!, x: buffer, y: window, index: textIndex },
      );
      this.#fill.push(copy);
      first += width;
    }
    this.#gather = await planCopyRows(
      this.#gpu,
      "live/gather",
      { rows: this.#maxRows, width: d_in, x_pitch: d_in, y_pitch: d_in },
      { uniform: this.#uniforms[uniform]!, x: window, y: batch, index },
    );
  }

  /** Gathers the batch; runs the model where its window is not there. */
  ready(stream: BatchStream, batch: number, rows: number): Promise<void> {
    if (rows > this.#maxRows) {
      throw new RangeError(`A batch of ${rows} rows was asked of a source opened for ${this.#maxRows}.`);
    }
    const turn = this.#turn.then(() => this.#prepare(stream, batch, rows));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  encodeBatch(
    encoder: GPUCommandEncoder,
    target: GPUBuffer,
    stream: BatchStream,
    batch: number,
    rows: number,
  ): void {
    if (this.#prepared !== `${stream} ${batch} ${rows}`) {
      throw new Error(`Batch ${batch} of the ${stream} stream was encoded before it was ready.`);
    }
    encoder.copyBufferToBuffer(this.#buffers.batch, 0, target, 0, 4 * this.#d_in * rows);
  }

  close(): void {
    this.#model.close();
    for (const buffer of [...Object.values(this.#buffers), ...this.#uniforms]) this.#gpu.ledger.free(buffer);
  }

  async #prepare(stream: BatchStream, batch: number, rows: number): Promise<void> {
    const name = `${stream} ${batch} ${rows}`;
    if (this.#prepared === name) return;
    this.#prepared = "";
    let done = 0;
    for (const { window, rows: chosen } of this.#orders[stream].rows(batch * rows, rows)) {
      await this.#load(window);
      this.#gpu.device.queue.writeBuffer(this.#buffers.index, 0, chosen);
      this.#gather.set(chosen.length, done);
      this.#submit([this.#gather]);
      done += chosen.length;
    }
    this.#prepared = name;
  }

  /** Fills the buffer with a window's rows, those of its sequences one after another. */
  async #load({ key, sequences }: LiveWindow): Promise<void> {
    if (this.#key === key) return;
    this.#key = "";
    const calls: Uint32Array<ArrayBuffer>[] = [];
    const texts: Uint32Array<ArrayBuffer>[] = [];
    for (let first = 0; first < sequences.length; first += this.#together) {
      const { ids, text } = await this.#read(sequences.subarray(first, first + this.#together));
      calls.push(ids);
      texts.push(text);
    }
    let to = 0;
    await this.#model.resident(calls, (call) => {
      const text = texts[call]!;
      this.#gpu.device.queue.writeBuffer(this.#buffers.textIndex, 0, text);
      for (const copy of this.#fill) copy.set(text.length, to);
      this.#submit(this.#fill);
      to += text.length;
    });
    this.#key = key;
  }

  /** Ids of sequences, [n, length], and where in them text is. */
  async #read(sequences: Uint32Array) {
    const { length } = this.#tokens;
    const ids = new Uint32Array(sequences.length * length);
    const text: number[] = [];
    for (const [at, sequence] of sequences.entries()) {
      ids.set(await this.#tokens.read(sequence, 1), at * length);
      for (const [position, kind] of (await this.#tokens.kinds(sequence, 1)).entries()) {
        if (kind === tokenKind.text) text.push(at * length + position);
      }
    }
    return { ids, text: Uint32Array.from(text) };
  }

  #submit(copies: readonly CopyRows[]): void {
    const encoder = this.#gpu.device.createCommandEncoder({ label: "live" });
    const pass = encoder.beginComputePass({ label: "live" });
    encodeDispatches(
      pass,
      copies.map(({ dispatch }) => dispatch),
    );
    pass.end();
    this.#gpu.device.queue.submit([encoder.finish()]);
  }
}
