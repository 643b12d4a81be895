import type { StepMetrics } from "../../gpu/sae/trainer.ts";
import type { MetricKey } from "./metric-definitions.ts";

/**
 * A run's metrics in columns, ordered by step, one value a step. Rows may come twice or out of order (history and live
 * stream overlap, and a resumed run repeats steps); the last one of a step counts.
 */
export class MetricHistory {
  readonly steps: number[] = [];
  readonly rows: StepMetrics[] = [];
  /** Rises with every change. */
  version = 0;

  get latest(): StepMetrics | null {
    return this.rows.at(-1) ?? null;
  }

  merge(rows: readonly StepMetrics[]): void {
    if (rows.length === 0) return;
    for (const row of rows) {
      const last = this.steps.at(-1);
      if (last === undefined || row.step > last) {
        this.steps.push(row.step);
        this.rows.push(row);
        continue;
      }
      const at = this.#firstAtLeast(row.step);
      if (this.steps[at] === row.step) {
        this.rows[at] = row;
      } else {
        this.steps.splice(at, 0, row.step);
        this.rows.splice(at, 0, row);
      }
    }
    this.version += 1;
  }

  /** Takes back what came after a step: a run that goes on from a checkpoint may never come so far again. */
  cutAfter(step: number): void {
    const kept = this.#firstAtLeast(step + 1);
    if (kept === this.steps.length) return;
    this.steps.length = kept;
    this.rows.length = kept;
    this.version += 1;
  }

  clear(): void {
    this.steps.length = 0;
    this.rows.length = 0;
    this.version += 1;
  }

  column(key: MetricKey): number[] {
    return this.rows.map((row) => row[key]);
  }

  /** Steps per second over about the last `span` steps; null before two rows, or when their tokens stand still. */
  stepsPerSecond(batchSize: number, span = 100): number | null {
    const latest = this.latest;
    if (!latest) return null;
    const recent = this.rows.slice(this.#firstAtLeast(latest.step - span));
    let tokens = 0;
    let seconds = 0;
    let before = recent[0];
    for (const row of recent.slice(1)) {
      if (before && row.tokens_per_second > 0 && row.tokens > before.tokens) {
        tokens += row.tokens - before.tokens;
        seconds += (row.tokens - before.tokens) / row.tokens_per_second;
      }
      before = row;
    }
    if (seconds > 0) return tokens / seconds / batchSize;
    return latest.tokens_per_second > 0 ? latest.tokens_per_second / batchSize : null;
  }

  #firstAtLeast(step: number): number {
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle]! < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
