import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { beforeAll, expect, test } from "vitest";
import { openModelFolder } from "../../server/models/model-folder.ts";
import { type SampleDescription, sampleDescription } from "../../server/sample/description.ts";
import { sampleFiles } from "../../server/sample/files.ts";
import { labelled } from "../../server/sample/grammar/grammar.ts";
import { recipe } from "../../server/sample/recipe.ts";
import { textLine } from "../../server/sample/text-file.ts";
import { tokenizerFiles } from "../../server/sample/tokenizer/files.ts";
import { trainVocabulary } from "../../server/sample/tokenizer/train.ts";
import { parameterCount, parametersOf } from "../../server/sample/training/shape.ts";
import { tokenize } from "../reference/lm/byte-level-bpe.ts";

const root = path.dirname(sampleFiles.description);
const inModel = (name: string) => readFile(path.join(sampleFiles.model.folder, name), "utf8");

let description: SampleDescription;
let texts: string[];
let files: ReturnType<typeof tokenizerFiles>;
beforeAll(async () => {
  description = sampleDescription.parse(JSON.parse(await readFile(sampleFiles.description, "utf8")));
  const lines = (await readFile(sampleFiles.text.file, "utf8")).trimEnd().split("\n");
  texts = lines.map((line) => (JSON.parse(line) as { text: string }).text);
  files = {
    tokenizer: JSON.parse(await inModel("tokenizer.json")),
    config: JSON.parse(await inModel("tokenizer_config.json")),
  };
});

test("the shipped files are those that were made and measured, four megabytes at most", async () => {
  let bytes = 0;
  for (const [name, sha256] of Object.entries(description.sha256)) {
    const file = path.join(root, name);
    bytes += (await stat(file)).size;
    expect(
      createHash("sha256")
        .update(await readFile(file))
        .digest("hex"),
      name,
    ).toBe(sha256);
  }
  expect(Object.keys(description.sha256)).toHaveLength(5);
  expect(bytes).toBeLessThanOrEqual(4_000_000);
});

test("the grammar still writes the shipped text, and the script its tokenizer", async () => {
  const documents = labelled(recipe.text_seed, recipe.documents);
  expect(documents.map(textLine).join("")).toBe(await readFile(sampleFiles.text.file, "utf8"));
  const vocabulary = trainVocabulary(
    documents.map(({ text }) => text),
    recipe.shape.d_vocab,
  );
  expect(tokenizerFiles(vocabulary, recipe.shape.n_ctx)).toEqual(files);
});

test("the tokenizer gives ids of the vocabulary that an independent one gives too, and the text back", () => {
  const tokenizer = new Tokenizer(files.tokenizer, files.config);
  for (const text of [...texts.slice(0, 300), "Añna 🐟 said:\t“no”  \n\n", "zebra 1234"]) {
    const { ids } = tokenizer.encode(text, { add_special_tokens: false });
    expect(ids).toEqual(tokenize(text, files.tokenizer));
    expect(ids.every((id) => id > 0 && id < recipe.shape.d_vocab)).toBe(true);
    expect(tokenizer.decode(ids)).toBe(text);
  }
  expect(tokenizer.encode("<|endoftext|>").ids).toEqual([0]);
});

test("every word of the text is one token where it follows a space", () => {
  const tokenizer = new Tokenizer(files.tokenizer, files.config);
  const words = new Set(texts.flatMap((text) => text.match(/ [A-Za-z]+/g) ?? []));
  for (const word of words) expect(tokenizer.encode(word).ids, word).toHaveLength(1);
});

test("the model's folder opens as the GPT-2 that the recipe says", async () => {
  const model = await openModelFolder(sampleFiles.model.folder);
  try {
    const { d_model, n_layers, n_heads, d_mlp, d_vocab, n_ctx } = recipe.shape;
    expect(model.spec).toMatchObject({ d_model, n_layers, n_heads, d_mlp, d_vocab, n_ctx });
    expect(model.config).toMatchObject({ bos_token_id: 0, eos_token_id: 0 });
    for (const { name, shape } of parametersOf(recipe.shape).values()) {
      expect(model.weights.shape(name), name).toEqual(shape);
    }
    expect(description.parameters).toBe(parameterCount(recipe.shape));
  } finally {
    await model.close();
  }
});

test("the model does far better than counts of three and four tokens, on text that it has not seen", () => {
  const { held_out, ngram_losses, training } = description;
  const { unigram, bigram, trigram, fourgram } = ngram_losses;
  expect(unigram).toBeGreaterThan(bigram);
  expect(bigram).toBeGreaterThan(trigram);
  expect(trigram).toBeGreaterThan(fourgram);
  expect(held_out.loss).toBeLessThan(0.8 * fourgram);
  expect(held_out.decided_loss).toBeLessThan(0.3);
  expect(Math.abs(held_out.loss - training.loss)).toBeLessThan(0.05);
});
