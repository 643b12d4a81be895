/** Counts of lengths: those of 0, then of 1, of 2 to 3, of 4 to 7, and so on by powers of two. */
export class LengthHistogram {
  readonly #counts: number[] = [];
  #shortest = Number.POSITIVE_INFINITY;
  #longest = 0;

  add(length: number): void {
    const bucket = length === 0 ? 0 : 1 + Math.floor(Math.log2(length));
    while (this.#counts.length <= bucket) this.#counts.push(0);
    this.#counts[bucket]!++;
    this.#shortest = Math.min(this.#shortest, length);
    this.#longest = Math.max(this.#longest, length);
  }

  /** Buckets with the lengths they hold, both ends included; from the first that counted something. */
  summary(): LengthSummary {
    const buckets = this.#counts.map((count, bucket) => ({
      from: bucket === 0 ? 0 : 2 ** (bucket - 1),
      to: bucket === 0 ? 0 : 2 ** bucket - 1,
      count,
    }));
    const first = buckets.findIndex(({ count }) => count > 0);
    return {
      shortest: first < 0 ? 0 : this.#shortest,
      longest: this.#longest,
      buckets: first < 0 ? [] : buckets.slice(first),
    };
  }
}

export interface LengthSummary {
  shortest: number;
  longest: number;
  buckets: { from: number; to: number; count: number }[];
}
