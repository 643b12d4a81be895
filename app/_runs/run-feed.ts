import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import type { LiveMessage, RunDetail, RunEvent, RunStatus } from "../../server/runs/views.ts";
import { MetricHistory } from "../_charts/metric-history.ts";
import type { StreamState } from "../_data/connection.ts";

/** What the feed asks of the server; the studio's client has this shape. */
export interface RunFeedClient {
  get(id: string): Promise<RunDetail>;
  metrics(id: string): Promise<StepMetrics[]>;
  log(id: string): Promise<RunEvent[]>;
  poll(id: string, after: number): Promise<{ events: RunEvent[]; seq: number }>;
  live(
    id: string,
    after: number,
    on: {
      message(message: LiveMessage): void;
      connected(): void;
      broken(): void;
      failed(error: unknown): void;
    },
  ): { unsubscribe(): void };
}

export interface RunFeedState {
  run: RunDetail | null;
  /** Log entries by `seq`, oldest first; metrics are in the history instead, and evaluations are read by themselves. */
  log: readonly RunEvent[];
  /** Rises when evaluations in the model may have come, or have been taken back. */
  evaluations: number;
  history: MetricHistory;
  /** `history.version` at this state. */
  version: number;
  /** Why there is no run to show. */
  error: unknown;
}

const pollMs = 1_000;
const streamPatienceMs = 4_000;
const retryStreamMs = 15_000;
const settled: readonly RunStatus[] = ["completed", "stopped", "failed"];

/**
 * Follows one run: a first picture by plain requests, then one stream of numbered events from there on. While the stream
 * is cut off the same events are asked for every second, from the last number seen, and the stream is tried again.
 * Events are applied once each, in order of their number, however they come; so switching loses and repeats nothing.
 */
export class RunFeed {
  readonly #id: string;
  readonly #client: RunFeedClient;
  readonly #onStream: (state: StreamState) => void;
  readonly #listeners = new Set<() => void>();
  #state: RunFeedState = {
    run: null,
    log: [],
    evaluations: 0,
    history: new MetricHistory(),
    version: 0,
    error: null,
  };
  #seq = 0;
  #stream: { unsubscribe(): void } | null = null;
  #streaming = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #epoch = 0;
  #stale = false;
  #catchingUp = false;

  constructor(id: string, client: RunFeedClient, onStream: (state: StreamState) => void) {
    this.#id = id;
    this.#client = client;
    this.#onStream = onStream;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly state = (): RunFeedState => this.#state;

  /** Starts to follow, or goes on after `stop`. */
  start(): void {
    const epoch = ++this.#epoch;
    this.#onStream("connecting");
    void this.#begin(epoch);
  }

  /** Leaves the server alone until `start`: nothing is held open meanwhile. */
  stop(state: StreamState): void {
    this.#epoch += 1;
    this.#closeStream();
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    this.#onStream(state);
  }

  /** Reads the run again at once, as after a control. */
  async refresh(): Promise<void> {
    const epoch = this.#epoch;
    const run = await this.#client.get(this.#id);
    if (epoch === this.#epoch) this.#setRun(run);
  }

  async #begin(epoch: number): Promise<void> {
    try {
      const run = await this.#client.get(this.#id);
      if (epoch !== this.#epoch) return;
      this.#setRun(run);
      // Asked for after the run, so that they hold at least all that the run's number covers.
      const [rows, log] = await Promise.all([this.#client.metrics(this.#id), this.#client.log(this.#id)]);
      if (epoch !== this.#epoch) return;
      this.#seq = Math.max(this.#seq, run.seq);
      this.#state.history.merge(rows);
      this.#mergeLog(log);
      this.#publish({ evaluations: this.#state.evaluations + 1 });
    } catch (error) {
      if (epoch !== this.#epoch) return;
      this.#publish({ error });
      this.#onStream("offline");
      this.#timer = setTimeout(() => void this.#begin(epoch), 2 * pollMs);
      return;
    }
    this.#openStream(epoch);
  }

  #openStream(epoch: number): void {
    this.#closeStream();
    clearTimeout(this.#timer);
    // A stream that says nothing at all is as cut off as one that breaks.
    this.#timer = setTimeout(() => void this.#poll(epoch), streamPatienceMs);
    this.#stream = this.#client.live(this.#id, this.#seq, {
      message: (message) => {
        if (epoch === this.#epoch) this.#apply(message);
      },
      connected: () => {
        if (epoch !== this.#epoch) return;
        this.#streaming = true;
        clearTimeout(this.#timer);
        clearTimeout(this.#retry);
        this.#onStream("live");
      },
      broken: () => {
        if (epoch !== this.#epoch || !this.#streaming) return;
        this.#streaming = false;
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#poll(epoch), pollMs);
      },
      failed: () => {
        if (epoch !== this.#epoch) return;
        this.#closeStream();
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#poll(epoch), pollMs);
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#openStream(epoch), retryStreamMs);
      },
    });
  }

  /** Reads the run again until it is had; several wishes while one is under way come to one more reading. */
  async #catchUp(epoch: number): Promise<void> {
    this.#stale = true;
    if (this.#catchingUp) return;
    this.#catchingUp = true;
    while (this.#stale && epoch === this.#epoch) {
      this.#stale = false;
      try {
        await this.refresh();
      } catch {
        // The stream or the poll says on the page whether the server is there; this only has to get through some time.
        this.#stale = true;
        await new Promise((resolve) => setTimeout(resolve, pollMs));
      }
    }
    this.#catchingUp = false;
  }

  #closeStream(): void {
    this.#streaming = false;
    this.#stream?.unsubscribe();
    this.#stream = null;
  }

  async #poll(epoch: number): Promise<void> {
    try {
      const { events, seq } = await this.#client.poll(this.#id, this.#seq);
      if (epoch !== this.#epoch || this.#streaming) return;
      this.#onStream("polling");
      for (const event of events) this.#apply(event);
      this.#seq = Math.max(this.#seq, seq);
    } catch {
      // Said on the page as "Reconnecting"; the next round tries again.
      if (epoch !== this.#epoch || this.#streaming) return;
      this.#onStream("offline");
    }
    this.#timer = setTimeout(() => void this.#poll(epoch), pollMs);
  }

  #apply(message: LiveMessage): void {
    if (message.type === "snapshot") {
      this.#seq = Math.max(this.#seq, message.run.seq);
      this.#setRun(message.run);
      return;
    }
    if (message.seq <= this.#seq) return;
    this.#seq = message.seq;
    if (message.type === "metrics") {
      this.#state.history.merge(message.rows);
      this.#advance(message.rows);
      return;
    }
    const evaluations = this.#state.evaluations + 1;
    if (message.type === "evaluation") {
      this.#publish({ evaluations });
      return;
    }
    this.#mergeLog([message]);
    this.#applyToRun(message);
    this.#publish({ evaluations });
    // What follows from it (allowed controls, worker, memory) is the server's to say.
    if (message.type !== "warning") void this.#catchUp(this.#epoch);
  }

  #applyToRun(event: RunEvent): void {
    const { run } = this.#state;
    if (!run) return;
    if (event.type === "status")
      this.#state = { ...this.#state, run: { ...run, status: event.status, reason: event.reason } };
    if (event.type === "sae") this.#state = { ...this.#state, run: { ...run, sae: event.sae } };
    if (event.type === "checkpoint" && !run.checkpoints.some(({ id }) => id === event.checkpoint.id)) {
      const checkpoints = [...run.checkpoints, event.checkpoint];
      this.#state = { ...this.#state, run: { ...run, checkpoints, step: event.checkpoint.step } };
    }
  }

  #advance(rows: readonly StepMetrics[]): void {
    const { run, history } = this.#state;
    const newest = rows.at(-1);
    if (!run || !newest) return;
    // A run taken up again from a checkpoint repeats steps; its progress is where it is, not where it was.
    this.#publish({ run: { ...run, step: newest.step, latest: history.latest } });
  }

  #setRun(run: RunDetail): void {
    const before = this.#state.run;
    // An answer that was under way while newer events came must not turn the clock back.
    if (before && run.seq < before.seq) return;
    const running = !settled.includes(run.status);
    // Only a run that is as new as all that came of it says which of that still stands.
    if (run.seq >= this.#seq) this.#state.history.cutAfter(run.step);
    const step = before && running && run.seq < this.#seq ? Math.max(before.step, run.step) : run.step;
    this.#publish({ run: { ...run, step }, error: null });
  }

  #mergeLog(events: readonly RunEvent[]): void {
    const known = new Set(this.#state.log.map(({ seq }) => seq));
    const fresh = events.filter(
      ({ seq, type }) => type !== "metrics" && type !== "evaluation" && !known.has(seq),
    );
    if (fresh.length === 0) return;
    const log = [...this.#state.log, ...fresh].sort((one, other) => one.seq - other.seq);
    this.#state = { ...this.#state, log };
  }

  #publish(change: Partial<RunFeedState>): void {
    this.#state = { ...this.#state, ...change, version: this.#state.history.version };
    for (const listener of this.#listeners) listener();
  }
}
