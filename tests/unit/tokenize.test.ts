import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tokenKind } from "../../gpu/data/tokens.ts";
import { DatasetError } from "../../server/datasets/dataset-error.ts";
import { importDataset } from "../../server/datasets/import.ts";
import type { ImportOptionsInput } from "../../server/datasets/options.ts";
import { ConflictError, InvalidInputError } from "../../server/errors.ts";
import type { TokenizeOptionsInput } from "../../server/tokens/options.ts";
import { previewTokens } from "../../server/tokens/preview.ts";
import { openTokenSet } from "../../server/tokens/token-set.ts";
import { planTokenization, type TokenizeProgress, tokenizeDataset } from "../../server/tokens/tokenize.ts";
import { TokenizerError, TokenSetError } from "../../server/tokens/tokenizer-error.ts";
import { shakespeareMissing, shakespeareTokens } from "../reference/lm/shakespeare.ts";
import {
  letterConfig,
  letterIds,
  letterTokenizer,
  tokenizerFolder,
} from "../reference/lm/tiny-tokenizers.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-tokens-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const at = (name: string) => path.join(home, name);
const signal = new AbortController().signal;

async function datasetOf(texts: readonly string[], name = "dataset"): Promise<string> {
  await writeFile(at("texts.jsonl"), texts.map((text) => JSON.stringify({ text })).join("\n"));
  return datasetAt(at("texts.jsonl"), {}, name);
}

async function datasetAt(file: string, options: ImportOptionsInput, name = "dataset"): Promise<string> {
  const source = { kind: "path" as const, path: file };
  await importDataset({ source, folder: at(name), options, hub: null, signal, onProgress: () => undefined });
  return at(name);
}

interface Given {
  dataset: string;
  model?: string;
  out?: string;
  options?: TokenizeOptionsInput;
  workers?: number | null;
  signal?: AbortSignal;
  onProgress?: (progress: TokenizeProgress) => void;
}

async function tokenized({ dataset, model, out = "tokens", options = {}, workers = null, ...rest }: Given) {
  return tokenizeDataset({
    dataset,
    model: model ?? (await tokenizerFolder(at("model"))),
    folder: at(out),
    options,
    workers,
    signal,
    onProgress: () => undefined,
    ...rest,
  });
}

/** Ids and kinds of all sequences, and their documents. */
async function contents(out = "tokens") {
  const set = await openTokenSet(at(out));
  const rows = (values: ArrayLike<number>) =>
    Array.from({ length: set.n_sequences }, (_, row) =>
      Array.from(values).slice(row * set.length, (row + 1) * set.length),
    );
  const ids = rows(await set.read(0, set.n_sequences));
  const kinds = rows(await set.kinds(0, set.n_sequences));
  const spans = [];
  for (let sequence = 0; sequence < set.n_sequences; sequence++) spans.push(await set.documentsOf(sequence));
  await set.close();
  return { ids, kinds, spans };
}

describe("tokens of a dataset", () => {
  it("are those of its texts, packed, with what they are made of in the manifest", async () => {
    const dataset = await datasetOf(["abc d", "ef", "ghijklm"]);
    const manifest = await tokenized({ dataset, options: { context_size: 6, remainder: "pad" } });
    const { ids, kinds, spans } = await contents();
    // 27 is BOS: first in every sequence and between documents.
    expect(ids).toEqual([
      [27, ...letterIds("abc d")],
      [27, ...letterIds("ef"), 27, ...letterIds("gh")],
      [27, ...letterIds("ijklm")],
    ]);
    expect(kinds.flat().filter((kind) => kind === tokenKind.special)).toHaveLength(4);
    expect(spans[1]).toEqual([
      { document: 1, first: 1, last: 2, offset: 0 },
      { document: 2, first: 4, last: 5, offset: 0 },
    ]);
    expect(manifest).toMatchObject({
      dataset: { name: "texts.jsonl" },
      tokenizer: { model: "model", vocab_size: 32 },
      options: { context_size: 6, bos: "sequence", separator: "bos", remainder: "pad", held_out: 0.05 },
      bos_id: 27,
      eos_id: 28,
      pad_id: 29,
      special_ids: [27, 28, 29],
      n_sequences: 3,
      held_out_sequences: 1,
      n_documents: 3,
      n_characters: 14,
      n_text_tokens: 14,
      n_special_tokens: 4,
      n_padding_tokens: 0,
      n_dropped_tokens: 0,
      tokens_per_character: 1,
      document_tokens: { shortest: 2, longest: 7 },
      dtype: "uint16",
    });
  });

  it("can each be traced to the place in the text", async () => {
    const texts = ["the first document", "b", "another one that is longer than a sequence", "end"];
    const dataset = await datasetOf(texts);
    for (const bos of ["sequence", "document", "none"] as const) {
      await tokenized({ dataset, out: bos, options: { context_size: 7, bos, remainder: "pad" } });
      const { ids, kinds, spans } = await contents(bos);
      const found = texts.map(() => [] as number[]);
      const traced = new Set<number>();
      spans.forEach((own, sequence) => {
        for (const { document, first, last, offset } of own) {
          for (let position = first; position <= last; position++) {
            found[document]![offset + position - first] = ids[sequence]![position]!;
            traced.add(sequence * 7 + position);
          }
        }
      });
      expect(found).toEqual(texts.map(letterIds));
      kinds.flat().forEach((kind, position) => {
        expect(kind === tokenKind.text).toBe(traced.has(position));
      });
    }
  });

  it("mark special tokens that stand in the text itself", async () => {
    const dataset = await datasetOf(["ab</s>cd"]);
    await tokenized({ dataset, options: { context_size: 5, bos: "none" } });
    expect(await contents()).toMatchObject({ ids: [[0, 1, 28, 2, 3]], kinds: [[0, 0, 1, 0, 0]] });
  });

  it("take four bytes where the vocabulary has more than 65,536", async () => {
    const dataset = await datasetOf(["abcdef"]);
    const config = { ...letterConfig, vocab_size: 65_537 };
    const model = await tokenizerFolder(at("large"), { config });
    const manifest = await tokenized({ dataset, model, options: { context_size: 3, bos: "none" } });
    expect(manifest.dtype).toBe("uint32");
    expect(manifest.shards[0]!.ids.bytes).toBe(24);
    expect((await contents()).ids).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    const smaller = await tokenizerFolder(at("small"), { config: { ...config, vocab_size: 65_536 } });
    const small = await tokenized({
      dataset,
      model: smaller,
      out: "small-tokens",
      options: { context_size: 3 },
    });
    expect(small.dtype).toBe("uint16");
  });

  it.each<[number, number, number]>([
    [100, 0.05, 5],
    [100, 0, 0],
    [2, 0.05, 1],
    [1, 0.5, 0],
    [3, 0.9, 2],
  ])(
    "are kept from training at the end: of %i sequences %d are %i",
    async (sequences, held_out, expected) => {
      const dataset = await datasetOf(["ab".repeat(sequences)]);
      const manifest = await tokenized({ dataset, options: { context_size: 2, bos: "none", held_out } });
      expect(manifest).toMatchObject({ n_sequences: sequences, held_out_sequences: expected });
    },
  );

  it("are the same to the byte with any number of workers", { timeout: 60_000 }, async () => {
    const texts = Array.from({ length: 4_000 }, (_, i) => "abc de".repeat(20 + ((i * 7) % 90)));
    const dataset = await datasetOf(texts);
    const hashes = [];
    for (const workers of [0, 1, 3]) {
      const out = `workers-${workers}`;
      const { shards, spans, span_index } = await tokenized({ dataset, out, workers });
      hashes.push({ shards, spans, span_index });
      expect(shards[0]!.ids.bytes).toBeGreaterThan(2_000_000);
    }
    expect(hashes[1]).toEqual(hashes[0]);
    expect(hashes[2]).toEqual(hashes[0]);
  });

  it("have a default context of 128, or that of a model that takes less", async () => {
    const dataset = await datasetOf(["abc"]);
    const plan = async (n_positions: number) => {
      const model = await tokenizerFolder(at(`n${n_positions}`), {
        config: { ...letterConfig, n_positions },
      });
      return (await planTokenization({ dataset, model, options: {} })).packing.context_size;
    };
    expect(await plan(1_024)).toBe(128);
    expect(await plan(64)).toBe(64);
  });
});

describe("the same input", () => {
  it("is not done twice, and another one in its place is refused", async () => {
    const dataset = await datasetOf(["abc", "def"]);
    const options = { context_size: 3 };
    const model = await tokenizerFolder(at("model"));
    const first = await tokenized({ dataset, model, options });
    expect((await planTokenization({ dataset, model, options })).hash).toBe(first.hash);
    const stages: string[] = [];
    const onProgress = ({ stage }: TokenizeProgress) => stages.push(stage);
    expect(await tokenized({ dataset, model, options, workers: 2, onProgress })).toEqual(first);
    expect(stages).toEqual(["already_done"]);
    await expect(tokenized({ dataset, model, options: { context_size: 4 } })).rejects.toThrow(ConflictError);
    // The same texts in another file are the same dataset.
    await writeFile(at("again.txt"), "abc\ndef\n");
    const again = await datasetAt(at("again.txt"), { split_on: "line" }, "again");
    expect(await tokenized({ dataset: again, model, options })).toEqual(first);
    await writeFile(at("model/notes.txt"), "x");
    await expect(tokenized({ dataset, model, options, out: "model" })).rejects.toThrow(ConflictError);
  });

  it("has another hash with every option, tokenizer, vocabulary and text", async () => {
    const dataset = await datasetOf(["abc", "def"]);
    const other = await datasetOf(["abcdef"], "other");
    const model = await tokenizerFolder(at("model"));
    const tokenizer = { ...letterTokenizer(), note: "changed" };
    const changed = await tokenizerFolder(at("changed"), { tokenizer });
    const wider = await tokenizerFolder(at("wider"), { config: { ...letterConfig, vocab_size: 40 } });
    const options: TokenizeOptionsInput = {
      context_size: 4,
      bos: "none",
      separator: "none",
      remainder: "drop",
      held_out: 0.1,
    };
    const requests = [
      { dataset, model, options },
      { dataset: other, model, options },
      { dataset, model: changed, options },
      { dataset, model: wider, options },
      { dataset, model, options: { ...options, context_size: 5 } },
      { dataset, model, options: { ...options, bos: "document" as const } },
      { dataset, model, options: { ...options, separator: "eos" as const } },
      { dataset, model, options: { ...options, remainder: "pad" as const } },
      { dataset, model, options: { ...options, held_out: 0.2 } },
    ];
    const hashes = await Promise.all(requests.map(planTokenization));
    expect(new Set(hashes.map(({ hash }) => hash)).size).toBe(requests.length);
  });
});

describe("a tokenizer that does not fit", () => {
  const refused = async (files: Parameters<typeof tokenizerFolder>[1], words: RegExp) => {
    const dataset = await datasetOf(["abc"]);
    const model = await tokenizerFolder(at("wrong"), files);
    const attempt = tokenized({ dataset, model, options: { context_size: 2 } });
    await expect(attempt).rejects.toThrow(words);
    await expect(attempt).rejects.toThrow(TokenizerError);
    expect(await readdir(home)).not.toContain("tokens");
  };
  const json = letterTokenizer();
  const model = json.model as Record<string, unknown>;

  it.each<[string, Parameters<typeof tokenizerFolder>[1], RegExp]>([
    [
      "a vocabulary larger than the model's",
      { config: { ...letterConfig, vocab_size: 26, bos_token_id: null, eos_token_id: null }, settings: null },
      /ids up to 26, but the model's vocabulary has 26: it is another model's/,
    ],
    [
      "another BOS than the model",
      { config: { ...letterConfig, bos_token_id: 28 } },
      /bos_token_id 28, but for the tokenizer it is 27/,
    ],
    [
      "another EOS than the model",
      { config: { ...letterConfig, eos_token_id: [27, 29] } },
      /eos_token_id \[27,29\], but for the tokenizer it is 28/,
    ],
    [
      "an ordinary token where the model begins texts",
      { config: { ...letterConfig, bos_token_id: 3 }, settings: null },
      /bos_token_id is 3, but in the tokenizer that is the ordinary token "d"/,
    ],
    [
      "no token where the model ends texts",
      { config: { ...letterConfig, eos_token_id: 30 }, settings: null },
      /eos_token_id 30, for which the tokenizer has no token/,
    ],
    ["an id that is none", { config: { ...letterConfig, eos_token_id: 2 ** 40 } }, /no id of its vocabulary/],
    [
      "a token that it does not have",
      { settings: { bos_token: "<|x|>" } },
      /bos_token "<\|x\|>", which tokenizer\.json does not have/,
    ],
    [
      "an unknown kind of model",
      { tokenizer: { ...json, model: { ...model, type: "Quantum" } } },
      /a model of type "Quantum" is not supported/,
    ],
    [
      "an unknown normaliser",
      { tokenizer: { ...json, normalizer: { type: "Rot13" } } },
      /Unknown Normalizer type: Rot13/,
    ],
    [
      "an unknown pre-tokenizer",
      { tokenizer: { ...json, pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Odd" }] } } },
      /Unknown PreTokenizer type: Odd/,
    ],
    [
      "a split that is passed over",
      {
        tokenizer: {
          ...json,
          pre_tokenizer: {
            type: "Split",
            pattern: { String: " " },
            behavior: "MergedWithNext",
            invert: false,
          },
        },
      },
      /a Split of behavior MergedWithNext is not supported/,
    ],
    ["chance", { tokenizer: { ...json, model: { ...model, dropout: 0.1 } } }, /BPE with dropout/],
    ["no vocabulary", { tokenizer: { ...json, model: { type: "BPE", merges: [] } } }, /cannot be used/],
    ["no model", { tokenizer: { added_tokens: [] } }, /does not say what a tokenizer\.json does: at model/],
    ["no file", { tokenizer: null }, /There is no file .*tokenizer\.json/],
    ["a model that cannot be run", { config: { model_type: "mamba" } }, /"mamba" cannot be run/],
  ])("has %s, which is said before anything is written", (_name, files, words) => refused(files, words));

  it("may have fewer ids than the model, several EOS, added tokens beyond, and Gemma's split", async () => {
    const dataset = await datasetOf(["abc"]);
    const gemma = {
      ...json,
      normalizer: { type: "Replace", pattern: { String: " " }, content: "Ġ" },
      pre_tokenizer: {
        type: "Split",
        pattern: { String: " " },
        behavior: "MergedWithPrevious",
        invert: false,
      },
      added_tokens: [...(json.added_tokens as object[]), { id: 99, content: "<image>", special: true }],
    };
    const config = { ...letterConfig, eos_token_id: [30, 28] };
    const wide = await tokenizerFolder(at("wide"), { tokenizer: gemma, config });
    const manifest = await tokenized({ dataset, model: wide, options: { context_size: 4 } });
    expect(manifest.special_ids).toEqual([27, 28, 29]);
    expect((await contents()).ids).toEqual([[27, 0, 1, 2]]);
    const beyond = await datasetOf(["abc", "d<image>"], "beyond");
    const attempt = tokenized({
      dataset: beyond,
      model: wide,
      out: "beyond-tokens",
      options: { context_size: 2 },
    });
    await expect(attempt).rejects.toThrow(/Document 1 holds the token "<image>" of id 99, .* 0 to 31/);
  });

  it("is told where it has no token for a text, from a worker as well", async () => {
    const words = { "[UNK]": 0, abc: 1 };
    const tokenizer = {
      ...json,
      pre_tokenizer: { type: "WhitespaceSplit" },
      decoder: null,
      model: {
        type: "WordPiece",
        unk_token: "[NONE]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 100,
        vocab: words,
      },
    };
    const model_ = await tokenizerFolder(at("words"), { tokenizer });
    const dataset = await datasetOf(["abc", "abc xyz"]);
    for (const workers of [0, 1]) {
      const attempt = tokenized({ dataset, model: model_, options: { context_size: 2 }, workers });
      await expect(attempt).rejects.toThrow(/Document 1 holds .* for which the tokenizer has no token/);
      await expect(attempt).rejects.toThrow(TokenizerError);
    }
  });
});

describe("a tokenization", () => {
  it("names everything that is wrong with its options", async () => {
    const dataset = await datasetOf(["abc"]);
    const config = { ...letterConfig, bos_token_id: null, eos_token_id: null };
    const bare = await tokenizerFolder(at("bare"), { config, settings: null });
    const paths = async (options: TokenizeOptionsInput, model?: string) => {
      const error = await tokenized({ dataset, ...(model === undefined ? {} : { model }), options }).catch(
        (one: unknown) => one,
      );
      expect(error).toBeInstanceOf(InvalidInputError);
      return (error as InvalidInputError).faults.map((fault) => fault.path);
    };
    expect(await paths({ context_size: 1, held_out: 1 })).toEqual(["context_size", "held_out"]);
    // One token more than the model takes may be there to be predicted.
    expect(await paths({ context_size: 66 })).toEqual(["context_size"]);
    expect(await paths({ bos: "sequence", separator: "eos", context_size: 66 }, bare)).toEqual([
      "context_size",
      "bos",
      "separator",
    ]);
    const plan = await planTokenization({ dataset, model: bare, options: { context_size: 65 } });
    expect(plan.packing).toMatchObject({ context_size: 65, bos: "none", separator: "none" });
  });

  it("is told where the texts do not fill a sequence", async () => {
    const dataset = await datasetOf(["abc"]);
    const attempt = tokenized({ dataset, options: { context_size: 10 } });
    await expect(attempt).rejects.toThrow(/has 3 tokens, which do not fill a sequence of 10.*pad/);
    expect(await readdir(home)).not.toContain("tokens");
  });

  it("leaves nothing when it is called off, within and without workers", { timeout: 60_000 }, async () => {
    const dataset = await datasetOf(Array.from({ length: 3_000 }, () => "abc de".repeat(100)));
    for (const workers of [0, 2]) {
      const abort = new AbortController();
      const onProgress = () => abort.abort(new Error("enough"));
      const attempt = tokenized({ dataset, out: "deep/out", workers, signal: abort.signal, onProgress });
      await expect(attempt).rejects.toThrow("enough");
      expect(await readdir(at("deep"))).toEqual([]);
    }
    const attempt = tokenized({ dataset, workers: 1, signal: AbortSignal.abort(new Error("before")) });
    await expect(attempt).rejects.toThrow("before");
  });

  it("refuses documents that were changed since they were imported", async () => {
    const dataset = await datasetOf(["abc", "def"]);
    const shard = path.join(dataset, "documents-00000.bin");
    await writeFile(shard, (await readFile(shard, "utf8")).replace("b", "x"));
    const attempt = tokenized({ dataset, options: { context_size: 2 } });
    await expect(attempt).rejects.toThrow(/not those that were imported/);
    await expect(attempt).rejects.toThrow(DatasetError);
    expect(await readdir(home)).not.toContain("tokens");
  });
});

describe("a stored set of tokens", () => {
  async function stored(): Promise<string> {
    const dataset = await datasetOf(["abcdef", "ghi"]);
    await tokenized({ dataset, options: { context_size: 4, remainder: "pad" } });
    return at("tokens");
  }

  it("is refused where a file is missing or of another size, and verified by its hashes", async () => {
    const folder = await stored();
    const names = (await readdir(folder)).filter((name) => name !== "manifest.json");
    expect(names.sort()).toEqual(["ids-00000.bin", "kinds-00000.bin", "spans.bin", "spans.index"]);
    for (const name of names) {
      const file = path.join(folder, name);
      const bytes = await readFile(file);
      await truncate(file, bytes.length - 1);
      await expect(openTokenSet(folder)).rejects.toThrow(/has \d+ bytes, but was written with \d+/);
      await rm(file);
      await expect(openTokenSet(folder)).rejects.toThrow(TokenSetError);
      const flipped = Buffer.from(bytes);
      flipped[0]! ^= 1;
      await writeFile(file, flipped);
      const set = await openTokenSet(folder);
      await expect(set.verify(signal)).rejects.toThrow(new RegExp(`${name} is damaged: its hash is another`));
      await set.close();
      await writeFile(file, bytes);
    }
    const set = await openTokenSet(folder);
    await set.verify(signal);
    await expect(set.read(0, 99)).rejects.toThrow(RangeError);
    await expect(set.documentsOf(-1)).rejects.toThrow(RangeError);
    await set.close();
  });

  it("never gives ids beyond the vocabulary, unknown kinds, or documents out of place", async () => {
    const folder = await stored();
    for (const [name, read] of [
      ["ids-00000.bin", (set) => set.read(0, 1)],
      ["kinds-00000.bin", (set) => set.kinds(0, 1)],
      ["spans.bin", (set) => set.documentsOf(0)],
      ["spans.index", (set) => set.documentsOf(0)],
    ] as [string, (set: Awaited<ReturnType<typeof openTokenSet>>) => Promise<unknown>][]) {
      const file = path.join(folder, name);
      const bytes = await readFile(file);
      await writeFile(file, Buffer.alloc(bytes.length, 0xff));
      const set = await openTokenSet(folder);
      await expect(read(set)).rejects.toThrow(TokenSetError);
      await set.close();
      await writeFile(file, bytes);
    }
  });

  it("is refused where the manifest says what its files are not", async () => {
    const folder = await stored();
    const file = path.join(folder, "manifest.json");
    const manifest = JSON.parse(await readFile(file, "utf8"));
    for (const changed of [
      {},
      { ...manifest, format_version: 2 },
      { ...manifest, n_sequences: 7 },
      { ...manifest, dtype: "uint32" },
      { ...manifest, held_out_sequences: 99 },
      { ...manifest, options: { ...manifest.options, context_size: 2 } },
      { ...manifest, spans: { ...manifest.spans, file: "../x" } },
      { ...manifest, shards: [] },
    ]) {
      await writeFile(file, JSON.stringify(changed));
      await expect(openTokenSet(folder)).rejects.toThrow(TokenSetError);
    }
  });
});

describe("a preview", () => {
  it("shows tokens as they would be packed, with what they stand for and where", async () => {
    const model = await tokenizerFolder(at("model"));
    const source = { text: "ab </s>c" };
    const { sequences, packing } = await previewTokens({
      model,
      source,
      options: { context_size: 7 },
      sequences: 5,
    });
    expect(packing).toMatchObject({ bos: "sequence", separator: "bos", remainder: "drop" });
    expect(sequences).toHaveLength(1);
    expect(
      sequences[0]!.map(({ text, kind, offset, start, end }) => [text, kind, offset, start, end]),
    ).toEqual([
      ["<s>", "special", null, null, null],
      ["a", "text", 0, 0, 1],
      ["b", "text", 1, 1, 2],
      [" ", "text", 2, 2, 3],
      ["</s>", "special", 3, 3, 7],
      ["c", "text", 4, 7, 8],
      ["<pad>", "padding", null, null, null],
    ]);
  });

  it("shows documents of a dataset, cut where they are long, and no more sequences than are asked for", async () => {
    const model = await tokenizerFolder(at("model"));
    const dataset = await datasetOf(["ab", "cd", "x".repeat(70_000), "never"]);
    const source = { dataset, first: 1, count: 3 };
    const preview = await previewTokens({ model, source, options: { context_size: 4 }, sequences: 2 });
    expect(preview.cut).toEqual([2]);
    expect(preview.sequences.map((row) => row.map(({ document }) => document))).toEqual([
      [null, 1, 1, null],
      [null, 2, 2, 2],
    ]);
    const long = previewTokens({ model, source: { text: "a".repeat(70_000) }, options: {}, sequences: 1 });
    await expect(long).rejects.toThrow(InvalidInputError);
  });
});

describe("a real tokenizer and text", () => {
  const shared = path.resolve(import.meta.dirname, "../../../shared");

  it("give the ids of an independent tokenizer in order, as one document", { timeout: 120_000 }, async ({
    skip,
  }) => {
    if (shakespeareMissing !== null) skip(shakespeareMissing);
    const dataset = await datasetAt(path.join(shared, "text/tinyshakespeare.txt"), { split_on: "file" });
    const manifest = await tokenized({
      dataset,
      model: path.join(shared, "models/shakespeare-gpt2"),
      options: { context_size: 129, bos: "none", separator: "none", remainder: "drop" },
    });
    const set = await openTokenSet(at("tokens"));
    const ids = await set.read(0, set.n_sequences);
    const kinds = await set.kinds(0, set.n_sequences);
    await set.close();
    const expected = await shakespeareTokens();
    expect(set.n_sequences).toBe(Math.floor(expected.length / 129));
    const hash = (values: Uint32Array) => createHash("sha256").update(values).digest("hex");
    expect(hash(ids)).toBe(hash(Uint32Array.from(expected.slice(0, ids.length))));
    expect(kinds.every((kind) => kind === tokenKind.text)).toBe(true);
    expect(manifest).toMatchObject({
      n_documents: 1,
      n_text_tokens: ids.length,
      n_dropped_tokens: expected.length - ids.length,
      bos_id: 0,
      eos_id: 0,
      special_ids: [0],
      dtype: "uint16",
    });
  });

  it("show bytes that are no whole character", async ({ skip }) => {
    if (shakespeareMissing !== null) skip(shakespeareMissing);
    const model = path.join(shared, "models/shakespeare-gpt2");
    const source = { text: "ö 😀 <|endoftext|>\n" };
    const { sequences } = await previewTokens({
      model,
      source,
      options: { context_size: 12, bos: "none" },
      sequences: 1,
    });
    expect(sequences[0]!.map(({ text, start, end }) => [text, start, end])).toEqual([
      ["<0xC3>", 0, 1],
      ["<0xB6>", 0, 1],
      [" ", 1, 2],
      ["<0xF0>", 2, 4],
      ["<0x9F>", 2, 4],
      ["<0x98>", 2, 4],
      ["<0x80>", 2, 4],
      [" ", 4, 5],
      ["<|endoftext|>", 5, 18],
      ["\n", 18, 19],
      ["<|endoftext|>", null, null],
      ["<|endoftext|>", null, null],
    ]);
    expect(sequences[0]![8]).toMatchObject({ kind: "special", document: 0 });
  });
});
