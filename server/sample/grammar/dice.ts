import { pcg4d } from "../../../gpu/data/random.ts";

/** Choices of one document, each a function of the seed, the document's number and how many were made before. */
export class Dice {
  readonly #seed: number;
  readonly #series: number;
  readonly #words = new Uint32Array(4);
  #thrown = 0;

  constructor(seed: number, series: number) {
    this.#seed = seed;
    this.#series = series;
  }

  /** 0 … sides − 1. */
  below(sides: number): number {
    const place = this.#thrown % 4;
    if (place === 0) pcg4d(this.#words, Math.floor(this.#thrown / 4), this.#series, 0x53746f72, this.#seed);
    this.#thrown++;
    return Math.floor((this.#words[place]! / 2 ** 32) * sides);
  }

  /** first … last. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(probability: number): boolean {
    return this.below(1_000_000) < probability * 1_000_000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** `count` different ones. */
  draw<T>(from: readonly T[], count: number): T[] {
    const left = [...from];
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0]!);
  }
}
