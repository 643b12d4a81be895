import { RandomStream } from "../sae/random.ts";
import type { LanguageModel } from "./language-model.ts";
import { checkSampling, type SamplingOptions, sample } from "./sampling.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Opened with `cached`; it generates one text at a time. */
  model: LanguageModel;
  /** Token ids, one or more. */
  prompt: ArrayLike<number>;
  max_new_tokens: number;
  /** Of the random choices, u32; the same seed gives the same text on the same adapter. Default 0. */
  seed?: number;
  /** Ids that end the text; they are no part of it. */
  stop?: readonly number[];
  signal?: AbortSignal;
  /** Called with each token as it comes. */
  onToken?(id: number): void;
}

export interface Generated {
  /** The new tokens. */
  ids: number[];
  /** A stop id came, or `max_new_tokens` are there. */
  ended: "stop" | "length";
}

/** Models that generate at this moment: two texts would write over each other's keys and values. */
const busy = new WeakSet<LanguageModel>();

/**
 * Goes on with a text: the prompt in one pass, then token by token, each from the keys and values of those before it.
 * @throws RangeError for options that make no sense, tokens beyond the vocabulary and texts longer than the model was
 *   opened for, before anything is run; the signal's reason; NonFiniteModelError.
 */
export async function generate(options: GenerateOptions): Promise<Generated> {
  const { model, max_new_tokens, seed = 0, stop = [], signal, onToken } = options;
  const prompt = Uint32Array.from(options.prompt);
  checkSampling(options);
  if (prompt.length === 0) throw new RangeError("A prompt has one token or more.");
  const wrong = Array.from(options.prompt).find((id, i) => id !== prompt[i]);
  if (wrong !== undefined) throw new RangeError(`${wrong} is no token id.`);
  if (!Number.isInteger(max_new_tokens) || max_new_tokens < 1) {
    throw new RangeError(`max_new_tokens is a whole number above 0, not ${max_new_tokens}.`);
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`A seed is a whole number from 0 to ${2 ** 32 - 1}, not ${seed}.`);
  }
  if (prompt.length + max_new_tokens > model.length) {
    throw new RangeError(
      `${prompt.length} tokens and ${max_new_tokens} new ones are more than the ${model.length} the model was opened for.`,
    );
  }
  if (busy.has(model)) throw new Error("The language model generates a text already.");
  busy.add(model);
  try {
    const random = new RandomStream(seed);
    const ids: number[] = [];
    let [part, first] = [prompt, 0];
    for (;;) {
      signal?.throwIfAborted();
      const id = sample(await model.next(part, first), options, random);
      if (stop.includes(id)) return { ids, ended: "stop" };
      ids.push(id);
      onToken?.(id);
      if (ids.length === max_new_tokens) return { ids, ended: "length" };
      first += part.length;
      part = Uint32Array.of(id);
    }
  } finally {
    busy.delete(model);
  }
}
