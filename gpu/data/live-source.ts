import type { Gpu } from "../device/gpu.ts";
import { type ForwardSize, planForward } from "../lm/allocation.ts";
import { requireHookPoint } from "../lm/hook-points.ts";
import { type LanguageModel, NonFiniteModelError, openLanguageModel } from "../lm/language-model.ts";
import type { ModelSpec } from "../lm/model-spec.ts";
import type { Precision } from "../lm/precision.ts";
import type { WeightSource } from "../lm/weights.ts";
import { LiveOrder, type TextSpan } from "./live-order.ts";
import { LiveRows, type LiveRowsSize, liveRowsBytes } from "./live-rows.ts";
import type { ActivationSource, BatchStream, OpenSource } from "./source.ts";
import { type TokenReader, tokenKind } from "./tokens.ts";

export interface LiveSourceOptions {
  spec: ModelSpec;
  weights: WeightSource;
  tokens: TokenReader;
  /** Hook points whose activations lie side by side in a row, in this order. */
  hooks: readonly string[];
  seed: number;
  /** Last sequences of the set, which are evaluated on and never trained on; default 0, then evaluation takes all. */
  held_out_sequences?: number;
  /** Rows of a window; default: see `windowRows`. A run goes on bit for bit only with the same. */
  bufferTokens?: number;
  /** Sequences of one pass; rows do not depend on it. */
  n_sequences_together?: number;
  /** Of the model's weights; default f32. */
  precision?: Precision;
  /** Ends a window that is being filled. */
  signal?: AbortSignal;
}

/** Bytes that a window takes by default at most. */
const windowBytes = 2 ** 30;
/** Rows, and batches, that a window holds by default at least, memory permitting. */
const leastRows = 65_536;
const leastBatches = 16;
/** Tokens of a pass by default. */
const passTokens = 2_048;
/** Sequences whose kinds are read at once to count their text tokens. */
const countedTokens = 2 ** 22;

/**
 * Rows of a window by default: 16 batches, and 65,536 rows, or what 1 GiB holds. Rows of one sequence are alike and come
 * within one window, so a batch mixes as well as its window does: with 16 batches a window, neighbours in the text are
 * 16 batches apart in the mean, and 65,536 rows come from some hundred sequences. A function of sizes alone, for rows
 * depend on it: a run must go on with the same on another device.
 */
export function windowRows(d_in: number, maxRows: number): number {
  const wanted = Math.max(leastBatches * maxRows, leastRows);
  return Math.max(maxRows, Math.min(wanted, Math.floor(windowBytes / (4 * d_in))));
}

/**
 * Activations of a language model as it runs, which never leave the GPU. Rows are the text tokens of sequences in an order
 * shuffled anew each epoch. Training: a window of consecutive rows of that order is filled by passes of the model and its
 * rows are given in random order; a batch never reaches from one window into the next, so that a run that begins at any
 * step makes no more than its own window. Where all rows fit into one window, they are made once and each epoch shuffles
 * them whole. Evaluation: held-out sequences in an order of their own, or all sequences where none is held out.
 * Every row comes once per epoch. Sequences at the edge of a window are run for both.
 */
export class LiveSource implements ActivationSource {
  readonly d_in: number;
  readonly #options: LiveSourceOptions;
  readonly #heldOut: number;
  readonly #together: number;
  #orders: Promise<LiveOrders> | null = null;
  #n_tokens: number | null = null;

  /** @throws UnknownHookError, RangeError */
  constructor(options: LiveSourceOptions) {
    const { spec, tokens, hooks, held_out_sequences = 0, bufferTokens, n_sequences_together } = options;
    const { n_sequences, length } = tokens;
    if (hooks.length === 0) throw new RangeError("Live activations need a hook point.");
    this.d_in = hooks.reduce((sum, hook) => sum + requireHookPoint(spec, hook).width, 0);
    if (!isCount(held_out_sequences, 0) || held_out_sequences >= n_sequences) {
      throw new RangeError(
        `Of ${n_sequences} sequences, ${held_out_sequences} cannot be held out: one at least is trained on.`,
      );
    }
    if (bufferTokens !== undefined && !isCount(bufferTokens, 1)) {
      throw new RangeError(`A window holds one row or more, not ${bufferTokens}.`);
    }
    const together = n_sequences_together ?? Math.max(1, Math.floor(passTokens / length));
    if (!isCount(together, 1)) throw new RangeError(`A pass takes one sequence or more, not ${together}.`);
    this.#options = options;
    this.#heldOut = held_out_sequences;
    this.#together = Math.min(together, n_sequences);
    // Refuses lengths that the model cannot take.
    planForward(spec, everyAdapter, this.#modelSize());
  }

  /** Rows of an epoch; null before `open` has counted them. */
  get n_tokens(): number | null {
    return this.#n_tokens;
  }

  /** Of the model, opened up to its last hook point, and of the window. */
  gpuBytes(maxRows: number): number {
    let bytes = liveRowsBytes(this.#rowsSize(maxRows));
    const { buffers } = planForward(this.#options.spec, everyAdapter, this.#modelSize());
    for (const buffer of buffers.values()) bytes += Math.ceil(buffer.bytes / 4) * 4;
    return bytes;
  }

  /**
   * Counts the text tokens of every sequence, which reads all kinds once, and loads the model.
   * @throws RangeError where there is no text, or more of it than the window's rows and these fewer than `maxRows`; what
   *   `openLanguageModel` throws; nothing stays allocated then.
   */
  async open(gpu: Gpu, maxRows: number): Promise<OpenSource> {
    this.#orders ??= this.#count().catch((failure: unknown) => {
      this.#orders = null;
      throw failure;
    });
    const orders = await this.#orders;
    this.#n_tokens = orders.training.n_rows;
    const size = this.#rowsSize(maxRows);
    const whole = orders.training.n_rows <= size.windowRows;
    if (!whole && size.windowRows < maxRows) {
      throw new RangeError(`A window of ${size.windowRows} rows does not hold a batch of ${maxRows}.`);
    }
    const { spec, weights, tokens, hooks, signal } = this.#options;
    const model = await openLanguageModel({ gpu, spec, weights, ...this.#modelSize() });
    try {
      const rows = await LiveRows.open(
        gpu,
        size,
        hooks.map((hook) => model.activation(hook)),
      );
      return new OpenLiveSource({ gpu, tokens, orders, model, rows, size, whole, signal: signal ?? null });
    } catch (refused) {
      model.close();
      throw refused;
    }
  }

  #modelSize(): ForwardSize {
    const { tokens, hooks, precision = "f32" } = this.#options;
    return { hooks, n_sequences: this.#together, length: tokens.length, precision };
  }

  #rowsSize(maxRows: number): LiveRowsSize {
    const { tokens, hooks, bufferTokens = windowRows(this.d_in, maxRows) } = this.#options;
    const most = (tokens.n_sequences - this.#heldOut) * tokens.length;
    return {
      d_in: this.d_in,
      hooks: hooks.length,
      windowRows: Math.min(bufferTokens, most),
      batchRows: maxRows,
      passRows: this.#together * tokens.length,
    };
  }

  async #count(): Promise<LiveOrders> {
    const { tokens, seed, signal } = this.#options;
    const { n_sequences, length } = tokens;
    const counts = new Uint32Array(n_sequences);
    const atOnce = Math.max(1, Math.floor(countedTokens / length));
    for (let first = 0; first < n_sequences; first += atOnce) {
      signal?.throwIfAborted();
      const kinds = await tokens.kinds(first, Math.min(atOnce, n_sequences - first));
      kinds.forEach((kind, i) => {
        if (kind === tokenKind.text) counts[first + Math.floor(i / length)]!++;
      });
    }
    const trained = n_sequences - this.#heldOut;
    const held = this.#heldOut === 0 ? 0 : trained;
    const orders = {
      training: new LiveOrder({ first: 0, counts: counts.subarray(0, trained), seed, series: 0 }),
      evaluation: new LiveOrder({ first: held, counts: counts.subarray(held), seed, series: 1 }),
    };
    if (orders.training.n_rows === 0) throw new RangeError("There is no text in the sequences to train on.");
    if (orders.evaluation.n_rows === 0) throw new RangeError("There is no text in the held-out sequences.");
    return orders;
  }
}

interface LiveOrders {
  training: LiveOrder;
  evaluation: LiveOrder;
}

/** Binds any buffer: which of them are too large, the adapter says when the model is opened. */
const everyAdapter = { limits: { max_storage_buffer_binding_size: Number.POSITIVE_INFINITY } };

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

interface OpenLiveParts {
  gpu: Gpu;
  tokens: TokenReader;
  orders: LiveOrders;
  model: LanguageModel;
  rows: LiveRows;
  size: LiveRowsSize;
  /** All rows are in the window at once. */
  whole: boolean;
  signal: AbortSignal | null;
}

class OpenLiveSource implements OpenSource {
  readonly #parts: OpenLiveParts;
  /** What the window holds: its number and the rows of the batches it is cut into, "all", or nothing that is of use. */
  #window: string | null = null;
  #order: Uint32Array<ArrayBuffer> = new Uint32Array(0);
  /** The evaluation batch that is put together. */
  #batch: string | null = null;

  constructor(parts: OpenLiveParts) {
    this.#parts = parts;
  }

  async ready(stream: BatchStream, batch: number, rows: number): Promise<void> {
    const { size, orders, rows: live } = this.#parts;
    if (rows > size.batchRows) {
      throw new RangeError(`A batch of ${rows} rows was asked of a source opened for ${size.batchRows}.`);
    }
    if (stream === "evaluation") {
      const name = `${batch}/${rows}`;
      if (this.#batch === name) return;
      this.#batch = null;
      const spans = orders.evaluation.spans(batch * rows, rows);
      await this.#fill(spans, (slot, list) => live.putInBatch(slot, list));
      this.#batch = name;
      return;
    }
    const { name, number, windowRows } = this.#windowOf(batch, rows);
    if (this.#window === name) return;
    this.#window = null;
    const { training } = orders;
    const { spans, order } =
      number === null ? { spans: training.all(), order: this.#order } : training.window(number, windowRows);
    await this.#fill(spans, (slot, list) => live.putInWindow(slot, list));
    this.#window = name;
    this.#order = order;
  }

  encodeBatch(
    encoder: GPUCommandEncoder,
    target: GPUBuffer,
    stream: BatchStream,
    batch: number,
    rows: number,
  ): void {
    const { orders, rows: live } = this.#parts;
    if (stream === "evaluation" && this.#batch === `${batch}/${rows}`) {
      live.takeBatch(encoder, target, rows);
      return;
    }
    const { name, number, windowRows } = this.#windowOf(batch, rows);
    if (stream === "evaluation" || this.#window !== name) {
      throw new Error(`Batch ${batch} of the ${stream} stream was encoded before it was ready.`);
    }
    const slots =
      number === null
        ? orders.training.shuffled(batch * rows, rows)
        : this.#order.slice(batch * rows - number * windowRows, (batch + 1) * rows - number * windowRows);
    live.takeFromWindow(encoder, target, slots);
  }

  close(): void {
    this.#parts.rows.close();
    this.#parts.model.close();
  }

  /** The window that a training batch is in, as many whole batches of its size as fit. */
  #windowOf(batch: number, rows: number): { name: string; number: number | null; windowRows: number } {
    const { whole, size } = this.#parts;
    if (whole) return { name: "all", number: null, windowRows: size.windowRows };
    const batches = Math.floor(size.windowRows / rows);
    const number = Math.floor(batch / batches);
    return { name: `${number}/${rows}`, number, windowRows: batches * rows };
  }

  /** Runs the model over the sequences of the spans and puts their rows one after another. */
  async #fill(
    spans: readonly TextSpan[],
    put: (slot: number, rows: Uint32Array<ArrayBuffer>) => void,
  ): Promise<void> {
    const { gpu, model, rows: live, size, tokens, signal } = this.#parts;
    const together = size.passRows / tokens.length;
    const groups = Array.from({ length: Math.ceil(spans.length / together) }, (_, i) =>
      spans.slice(i * together, (i + 1) * together),
    );
    const submitted: Promise<undefined>[] = [];
    let slot = 0;
    let reading = groups.length > 0 ? this.#read(groups[0]!) : null;
    for (let i = 0; reading !== null; i++) {
      const { ids, list } = await reading;
      signal?.throwIfAborted();
      reading = i + 1 < groups.length ? this.#read(groups[i + 1]!) : null;
      // Met again when it is awaited.
      reading?.catch(() => undefined);
      const first = slot;
      await model.run(ids, () => put(first, list));
      slot += list.length;
      const done = gpu.device.queue.onSubmittedWorkDone();
      // Those that are not awaited are ended with the device, which others report.
      done.catch(() => undefined);
      submitted.push(done);
      if (submitted.length > passesAhead) await submitted.shift();
    }
    if (!(await live.finite())) {
      throw new NonFiniteModelError(
        "The language model's activations are not finite: its weights are damaged, or made for another model.",
      );
    }
  }

  /** Token ids of the spans' sequences, and the rows of the pass that are theirs. */
  async #read(spans: readonly TextSpan[]) {
    const { tokens } = this.#parts;
    const { length } = tokens;
    const ids = new Uint32Array(spans.length * length);
    const list: number[] = [];
    const read = await Promise.all(
      spans.map(({ sequence }) => Promise.all([tokens.read(sequence, 1), tokens.kinds(sequence, 1)])),
    );
    for (const [i, [own, kinds]] of read.entries()) {
      ids.set(own, i * length);
      const { first, count } = spans[i]!;
      let text = 0;
      for (let position = 0; position < length; position++) {
        if (kinds[position] !== tokenKind.text) continue;
        if (text >= first && text < first + count) list.push(i * length + position);
        text++;
      }
    }
    return { ids, list: Uint32Array.from(list) };
  }
}

/** Passes that may be queued on the GPU behind the one that runs. */
const passesAhead = 2;
