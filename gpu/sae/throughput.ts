/** Steps over which a rate is taken. */
const window = 100;

/** Rate of the newest steps, from the times at which they ended. */
export class Throughput {
  #ends: number[] = [];

  /** @param start when the first step began, ms. */
  constructor(start: number) {
    this.#ends.push(start);
  }

  /** A step ended at `time`, ms. */
  ended(time: number): void {
    this.#ends.push(time);
    if (this.#ends.length > window + 1) this.#ends.shift();
  }

  /** Steps per second over the last 100 steps, 0 before the first has ended. */
  get stepsPerSecond(): number {
    const steps = this.#ends.length - 1;
    const elapsed = this.#ends.at(-1)! - this.#ends[0]!;
    return elapsed > 0 ? (1000 * steps) / elapsed : 0;
  }
}
