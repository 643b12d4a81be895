import { parentPort, workerData } from "node:worker_threads";
import { encodeTexts, makeTokenizer, type TextToEncode } from "./encode.ts";
import type { EncoderAnswer, EncoderTask } from "./encoders.ts";
import { TokenizerError } from "./tokenizer-error.ts";
import { readTokenizerFile } from "./tokenizer-file.ts";

/** The program of a thread that encodes: a batch of texts for every message, in order. */

const { file, sha256, vocab_size } = (workerData as { task: EncoderTask }).task;

const tokenizer = readTokenizerFile(file).then((read) => {
  if (read.sha256 === sha256) return makeTokenizer(file, read);
  throw new TokenizerError(`${file} was changed while it was in use. Start again.`);
});
// It is told with the first batch.
tokenizer.catch(() => undefined);

parentPort?.on("message", async (texts: TextToEncode[]) => {
  const answer = (message: EncoderAnswer, transfer: ArrayBuffer[] = []) =>
    parentPort?.postMessage(message, transfer);
  try {
    const encoded = encodeTexts(await tokenizer, vocab_size, texts);
    answer({ type: "encoded", encoded }, [encoded.ids.buffer, encoded.counts.buffer]);
  } catch (error) {
    const told = error instanceof TokenizerError;
    answer({ type: "failed", told, message: error instanceof Error ? error.message : String(error) });
  }
});
