import type { SyntheticConfig } from "../../gpu/data/synthetic.ts";
import type { Capabilities } from "../../gpu/device/gpu.ts";
import type { Recovery } from "../../gpu/metrics/recovery.ts";
import type { TrainingConfig } from "../../gpu/sae/config.ts";
import type { Evaluation, MemoryPlan } from "../../gpu/sae/trainer.ts";
import { MetricHistory } from "../_charts/metric-history.ts";
import type { FromTrainer, ToTrainer } from "./messages.ts";

export type TabPhase =
  | "idle"
  | "opening"
  | "training"
  | "stopping"
  | "evaluating"
  | "completed"
  | "stopped"
  | "failed";

export interface TabTrainingState {
  phase: TabPhase;
  config: TrainingConfig | null;
  history: MetricHistory;
  /** `history.version` at this state. */
  version: number;
  capabilities: Capabilities | null;
  memory: MemoryPlan | null;
  total_steps: number;
  evaluation: Omit<Evaluation, "feature_frequency"> | null;
  recovery: Recovery | null;
  error: string | null;
  /** The browser has no WebGPU, or no adapter for it. */
  missing: boolean;
  /** Milliseconds since the epoch. */
  started_at: number | null;
  ended_at: number | null;
}

const nothing: Omit<TabTrainingState, "history"> = {
  phase: "idle",
  config: null,
  version: 0,
  capabilities: null,
  memory: null,
  total_steps: 0,
  evaluation: null,
  recovery: null,
  error: null,
  missing: false,
  started_at: null,
  ended_at: null,
};

/** One training at a time, in a thread of this tab; a new one replaces what the last one showed. */
export class TabTraining {
  readonly #listeners = new Set<() => void>();
  #state: TabTrainingState = { ...nothing, history: new MetricHistory() };
  #worker: Worker | null = null;
  #outcome: "completed" | "stopped" = "completed";

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly state = (): TabTrainingState => this.#state;

  start(config: TrainingConfig, synthetic: SyntheticConfig): void {
    this.close();
    this.#publish({
      ...nothing,
      history: new MetricHistory(),
      phase: "opening",
      config,
      started_at: Date.now(),
    });
    const worker = new Worker(new URL("./trainer-worker.ts", import.meta.url), { type: "module" });
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<FromTrainer>) => {
      if (this.#worker === worker) this.#hear(data);
    });
    worker.addEventListener("error", (event) => {
      if (this.#worker === worker)
        this.#fail(event.message || "The trainer could not be loaded. Reload the page.");
    });
    this.#send({ type: "start", config, synthetic });
  }

  /** Ends after the step under way, and evaluates what has been learnt. */
  stop(): void {
    if (this.#state.phase !== "training" && this.#state.phase !== "opening") return;
    this.#publish({ phase: "stopping" });
    this.#send({ type: "stop" });
  }

  /** Gives the GPU back at once. */
  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }

  #send(message: ToTrainer): void {
    this.#worker?.postMessage(message);
  }

  #hear(message: FromTrainer): void {
    switch (message.type) {
      case "opened":
        this.#publish({
          phase: this.#state.phase === "stopping" ? "stopping" : "training",
          capabilities: message.capabilities,
          memory: message.memory,
          total_steps: message.total_steps,
        });
        break;
      case "metrics":
        this.#state.history.merge(message.rows);
        this.#publish({});
        break;
      case "evaluating":
        this.#outcome = message.outcome;
        this.#publish({ phase: "evaluating" });
        break;
      case "finished":
        this.#publish({
          phase: this.#outcome,
          evaluation: message.evaluation,
          recovery: message.recovery,
          ended_at: Date.now(),
        });
        this.close();
        break;
      case "failed":
        this.#fail(message.message, message.missing);
        break;
    }
  }

  #fail(error: string, missing = false): void {
    this.#publish({ phase: "failed", error, missing, ended_at: Date.now() });
    this.close();
  }

  #publish(change: Partial<TabTrainingState>): void {
    const state = { ...this.#state, ...change };
    this.#state = { ...state, version: state.history.version };
    for (const listener of this.#listeners) listener();
  }
}
