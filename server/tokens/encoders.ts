import path from "node:path";
import type { Worker } from "node:worker_threads";
import { startThread } from "../datasets/typescript-thread.ts";
import { sourceRoot } from "../source-root.ts";
import { type Encoded, encodeTexts, type TextToEncode } from "./encode.ts";
import type { ModelTokenizer } from "./model-tokenizer.ts";
import { TokenizerError } from "./tokenizer-error.ts";

/** What encodes texts; batches may be under way together, and each answer is that of its own batch. */
export interface Encoders {
  /** Batches that keep it busy. */
  readonly together: number;
  encode(texts: TextToEncode[]): Promise<Encoded>;
  close(): Promise<void>;
}

export type EncoderTask = Pick<ModelTokenizer, "file" | "sha256" | "vocab_size">;

export type EncoderAnswer =
  | { type: "encoded"; encoded: Encoded }
  | { type: "failed"; told: boolean; message: string };

const program = path.join(/*turbopackIgnore: true*/ sourceRoot, "server/tokens/encoder-thread.ts");

/** Encodes in the calling thread: what takes less time than starting another. */
export function ownEncoder({ tokenizer, vocab_size }: ModelTokenizer): Encoders {
  return {
    together: 1,
    encode: async (texts) => encodeTexts(tokenizer, vocab_size, texts),
    close: async () => undefined,
  };
}

interface Waiting {
  resolve(encoded: Encoded): void;
  reject(error: unknown): void;
}

/** Encodes in threads, each of which takes every so manyth batch. Ends at once when `signal` aborts, with its reason. */
export function threadEncoders(model: ModelTokenizer, threads: number, signal: AbortSignal): Encoders {
  const { file, sha256, vocab_size } = model;
  const task: EncoderTask = { file, sha256, vocab_size };
  const all = Array.from({ length: threads }, () => encoderThread(task));
  const abort = () => {
    for (const thread of all) thread.end(signal.reason);
  };
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  let next = 0;
  return {
    together: 2 * threads,
    encode: (texts) => all[next++ % threads]!.encode(texts),
    async close() {
      signal.removeEventListener("abort", abort);
      await Promise.all(all.map((thread) => thread.end(new Error("closed"))));
    },
  };
}

function encoderThread(task: EncoderTask): {
  encode(texts: TextToEncode[]): Promise<Encoded>;
  end(reason: unknown): Promise<number>;
} {
  const thread: Worker = startThread(program, task);
  /** In the order that they were sent in, which is that of the answers. */
  const waiting: Waiting[] = [];
  let ended: { reason: unknown } | null = null;
  const fail = (reason: unknown) => {
    ended ??= { reason };
    for (const { reject } of waiting.splice(0)) reject(ended.reason);
  };
  thread.on("message", (answer: EncoderAnswer) => {
    const next = waiting.shift();
    // It was called off in the meantime.
    if (next === undefined) return;
    if (answer.type === "encoded") next.resolve(answer.encoded);
    else next.reject(answer.told ? new TokenizerError(answer.message) : new Error(answer.message));
  });
  thread.on("error", (error) => fail(toldOf(error)));
  thread.on("exit", (code) => fail(new Error(`a thread that encodes ended by itself, with code ${code}`)));
  return {
    encode: (texts) =>
      new Promise((resolve, reject) => {
        if (ended !== null) reject(ended.reason);
        else {
          waiting.push({ resolve, reject });
          thread.postMessage(texts);
        }
      }),
    end(reason) {
      fail(reason);
      return thread.terminate();
    },
  };
}

function toldOf(error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ERR_WORKER_OUT_OF_MEMORY") return error;
  return new TokenizerError(
    "The tokenizer ran out of memory on one of the documents. Cut the long ones into several when the dataset is imported, or use fewer workers.",
    error,
  );
}
