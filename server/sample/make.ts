import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { safetensorsPieces } from "../../gpu/data/safetensors.ts";
import type { SampleDescription } from "./description.ts";
import { sampleFiles } from "./files.ts";
import { labelled } from "./grammar/grammar.ts";
import { decidedLosses, ngramLosses, predictionLosses } from "./measure.ts";
import { recipe, tokensPerStep } from "./recipe.ts";
import { textLine } from "./text-file.ts";
import { labelledStream } from "./token-labels.ts";
import { Encoder } from "./tokenizer/encode.ts";
import { tokenizerFiles } from "./tokenizer/files.ts";
import { TokenStream } from "./tokenizer/stream.ts";
import { trainVocabulary } from "./tokenizer/train.ts";
import { stepsOf } from "./training/schedule.ts";
import { epsilon, parameterCount, parametersOf } from "./training/shape.ts";
import { train } from "./training/train.ts";

/**
 * Makes the shipped files from the recipe: `node --import tsx server/sample/make.ts [checkpoint]`. Training takes a quarter
 * of an hour of two cores; with a checkpoint's path it goes on from there after an interruption. See docs/sample.md.
 */

/** Windows of the shipped text whose loss is stated on its own, so that a test can repeat it in a moment. */
const firstWindows = 8;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

function config(): Record<string, unknown> {
  const { d_model, n_layers, n_heads, d_mlp, d_vocab, n_ctx } = recipe.shape;
  return {
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    vocab_size: d_vocab,
    n_positions: n_ctx,
    n_embd: d_model,
    n_layer: n_layers,
    n_head: n_heads,
    n_inner: d_mlp,
    activation_function: "gelu_new",
    layer_norm_epsilon: epsilon,
    bos_token_id: 0,
    eos_token_id: 0,
    tie_word_embeddings: true,
    torch_dtype: "float32",
  };
}

function weights(parameters: Float32Array): Uint8Array {
  const tensors = [...parametersOf(recipe.shape).values()].map(({ name, shape, at, count }) => ({
    name,
    shape,
    data: parameters.subarray(at, at + count),
  }));
  return Buffer.concat(safetensorsPieces(tensors, { format: "pt" }));
}

async function describe(
  encoder: Encoder,
  parameters: Float32Array,
  files: readonly string[],
): Promise<SampleDescription> {
  const { shape, documents, schedule } = recipe;
  const trained = stepsOf(schedule) * tokensPerStep(recipe);
  let tokens = 0;
  for (const { text } of labelled(recipe.text_seed, documents)) tokens += 1 + encoder.encode(text).ids.length;
  const windows = Math.floor(tokens / shape.n_ctx);
  say(`measuring on ${windows} windows`);
  const stream = labelledStream(encoder, recipe.text_seed, windows * shape.n_ctx);
  const heldOut = Uint32Array.from(stream.ids);
  const losses = predictionLosses(parameters, heldOut);
  const seen = new TokenStream(encoder, recipe.training_seed).windows(512, shape.n_ctx);
  const [unigram, bigram, trigram, fourgram] = ngramLosses(encoder, heldOut, trained) as [
    number,
    number,
    number,
    number,
  ];
  const sha256: Record<string, string> = {};
  for (const file of files) {
    const name = path.relative(path.dirname(sampleFiles.description), file).split(path.sep).join("/");
    sha256[name] = createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
  }
  return {
    documents,
    tokens,
    parameters: parameterCount(shape),
    seeds: { text: recipe.text_seed, training: recipe.training_seed, parameters: recipe.parameter_seed },
    training: { steps: stepsOf(schedule), tokens: trained, loss: mean(predictionLosses(parameters, seen)) },
    held_out: {
      windows,
      loss: mean(losses),
      first_windows: firstWindows,
      first_loss: mean(losses.subarray(0, firstWindows * (shape.n_ctx - 1))),
      decided_loss: mean(decidedLosses(losses, stream)),
    },
    ngram_losses: { unigram, bigram, trigram, fourgram },
    sha256,
  };
}

function mean(values: Iterable<number>): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    sum += value;
    count++;
  }
  return sum / count;
}

const json = (value: unknown, indent = 1): string => `${JSON.stringify(value, null, indent)}\n`;

async function make(checkpoint: string): Promise<void> {
  const { documents, text_seed, shape } = recipe;
  const shipped = labelled(text_seed, documents);
  const vocabulary = trainVocabulary(
    shipped.map(({ text }) => text),
    shape.d_vocab,
  );
  const tokenizer = tokenizerFiles(vocabulary, shape.n_ctx);
  const encoder = new Encoder(tokenizer);
  const started = performance.now();
  const parameters = await train(recipe, encoder, checkpoint, (line) =>
    say(`${Math.round((performance.now() - started) / 1000)} s  ${line}`),
  );
  const inModel = (name: string) => path.join(sampleFiles.model.folder, name);
  const contents = new Map<string, string | Uint8Array>([
    [inModel("config.json"), json(config())],
    [inModel("model.safetensors"), weights(parameters)],
    [inModel("tokenizer.json"), json(tokenizer.tokenizer)],
    [inModel("tokenizer_config.json"), json(tokenizer.config)],
    [sampleFiles.text.file, shipped.map(textLine).join("")],
  ]);
  for (const [file, content] of contents) {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  const description = await describe(encoder, parameters, [...contents.keys()]);
  await writeFile(sampleFiles.description, json(description, 2));
  say(json(description));
}

await make(process.argv[2] ?? path.join(".scratch", "sample.checkpoint"));
