interface Seen {
  /** Times that the context was followed by anything, and by how many different tokens. */
  total: number;
  kinds: number;
}

/**
 * Counts of up to `order` tokens in a row, smoothed after Witten and Bell (1991): what a longer context has not seen is
 * left to the shorter one. What a model must do better than.
 */
export class NGrams {
  readonly #order: number;
  readonly #d_vocab: number;
  /** By how many tokens the context has. */
  readonly #contexts: Map<number, Seen>[];
  readonly #followed: Map<number, number>[];

  /** @param order at most 4, so that a context and what follows it are one exact number */
  constructor(order: number, d_vocab: number) {
    this.#order = order;
    this.#d_vocab = d_vocab;
    this.#contexts = Array.from({ length: order }, () => new Map());
    this.#followed = Array.from({ length: order }, () => new Map());
  }

  add(tokens: ArrayLike<number>): void {
    for (let at = 0; at < tokens.length; at++) {
      let context = 0;
      for (let length = 0; length < this.#order && length <= at; length++) {
        if (length > 0) context += (tokens[at - length]! + 1) * (this.#d_vocab + 1) ** (length - 1);
        const key = context * this.#d_vocab + tokens[at]!;
        const followed = this.#followed[length]!;
        const before = followed.get(key) ?? 0;
        followed.set(key, before + 1);
        const seen = this.#contexts[length]!.get(context);
        if (seen === undefined) this.#contexts[length]!.set(context, { total: 1, kinds: 1 });
        else {
          seen.total++;
          if (before === 0) seen.kinds++;
        }
      }
    }
  }

  /** -log p in nats of `tokens[at]`, by contexts of 0, 1 … order - 1 tokens before it. */
  losses(tokens: ArrayLike<number>, at: number): number[] {
    let p = 1 / this.#d_vocab;
    let context = 0;
    const losses: number[] = [];
    for (let length = 0; length < this.#order; length++) {
      if (length <= at) {
        if (length > 0) context += (tokens[at - length]! + 1) * (this.#d_vocab + 1) ** (length - 1);
        const seen = this.#contexts[length]!.get(context);
        if (seen !== undefined) {
          const count = this.#followed[length]!.get(context * this.#d_vocab + tokens[at]!) ?? 0;
          p = (count + seen.kinds * p) / (seen.total + seen.kinds);
        }
      }
      losses.push(-Math.log(p));
    }
    return losses;
  }
}
