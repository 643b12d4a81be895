import type { StepMetrics } from "../../gpu/sae/trainer.ts";

/** The newest metrics of the SAEs in training, for one line of a terminal. */
export class TrainingLine {
  readonly #latest = new Map<string, StepMetrics>();

  add(label: string, rows: readonly StepMetrics[]): void {
    const row = rows.at(-1);
    if (row !== undefined) this.#latest.set(label, row);
  }

  drop(label: string): void {
    this.#latest.delete(label);
  }

  /** Of several SAEs, the least and the most. */
  text(): string {
    const rows = [...this.#latest.values()];
    if (rows.length === 0) return "";
    const range = (of: (row: StepMetrics) => number, shown: (value: number) => string) => {
      const values = rows.map(of);
      const [least, most] = [shown(Math.min(...values)), shown(Math.max(...values))];
      return least === most ? least : `${least}–${most}`;
    };
    const short = (value: number) => value.toPrecision(4);
    return [
      `loss ${range((row) => row.loss, short)}`,
      `FVU ${range((row) => row.fvu, short)}`,
      `L0 ${range(
        (row) => row.l0,
        (value) => value.toFixed(1),
      )}`,
      `dead ${range((row) => row.dead_features, String)}`,
    ].join("  ");
  }
}
