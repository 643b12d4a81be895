import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataset } from "../../server/datasets/dataset.ts";
import { importDataset } from "../../server/datasets/import.ts";
import type { ImportOptionsInput } from "../../server/datasets/options.ts";
import { ConflictError, InvalidInputError } from "../../server/errors.ts";
import { rawFrame } from "../reference/zstd-frames.ts";

let home: string;
let imports = 0;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-dataset-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function fileOf(name: string, content: string | Uint8Array): Promise<string> {
  const file = path.join(home, name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, content);
  return file;
}

async function imported(file: string, options: ImportOptionsInput = {}, signal?: AbortSignal) {
  const folder = path.join(home, `dataset-${imports++}`);
  const progress: { bytes: number; total_bytes: number }[] = [];
  const manifest = await importDataset({
    source: { kind: "path", path: file },
    folder,
    options,
    hub: null,
    signal: signal ?? new AbortController().signal,
    onProgress: (one) => progress.push(one),
  });
  const dataset = await openDataset(folder);
  const documents = await dataset.read(0, manifest.n_documents);
  await dataset.close();
  return { folder, manifest, documents, texts: documents.map(({ text }) => text), progress };
}

const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes);

describe("a plain text", () => {
  const text = "one\ntwo\r\n\n \t\nthree ä😀\n\n\n";

  it("is cut at blank lines where it is one file, and lines within end as \\n", async () => {
    const { texts, manifest } = await imported(await fileOf("a.txt", text));
    expect(texts).toEqual(["one\ntwo", "three ä😀"]);
    expect(manifest).toMatchObject({
      name: "a.txt",
      n_documents: 2,
      n_characters: 7 + 8,
      bytes: 7 + 12,
      columns: { text: null, meta: [] },
      options: { split_on: "blank-line" },
      limited: false,
    });
  });

  it("is cut at lines, at a separator, or not at all, as is asked for", async () => {
    const file = await fileOf("a.txt", text);
    const lines = await imported(file, { split_on: "line" });
    expect(lines.texts).toEqual(["one", "two", " \t", "three ä😀"]);
    expect(lines.manifest.n_empty).toBe(3);
    expect((await imported(file, { split_on: { separator: "\r\n\n" } })).texts).toEqual([
      "one\ntwo",
      " \t\nthree ä😀\n\n\n",
    ]);
    expect((await imported(file, { split_on: "file" })).texts).toEqual([text]);
  });

  it("is a document of its own in a folder, by the order of paths; a mark of byte order is no part of it", async () => {
    await fileOf("texts/b.txt", "\ufeffsecond\n\nstill second");
    await fileOf("texts/a/z.txt", "first");
    await fileOf("texts/.hidden.txt", "never");
    await fileOf("texts/picture.png", "never");
    const { texts, manifest } = await imported(path.join(home, "texts"));
    expect(texts).toEqual(["first", "second\n\nstill second"]);
    expect(manifest.source).toMatchObject({ kind: "path", files: 2 });
  });

  it("may be cut within pieces that end inside separators and characters", async () => {
    // Pieces are of a megabyte; this separator lies across the border of two.
    const first = "ä".repeat(2 ** 19 - 1);
    const file = await fileOf("a.txt", `${first}<cut>${"b".repeat(3 * 2 ** 20)}<cut><cut>c`);
    const { documents, manifest } = await imported(file, { split_on: { separator: "<cut>" } });
    expect(documents.map(({ text: one }) => one.length)).toEqual([2 ** 19 - 1, 3 * 2 ** 20, 1]);
    expect(documents[0]!.text).toBe(first);
    expect(manifest.n_empty).toBe(1);
  });
});

describe("tables", () => {
  const rows = [
    { text: "first, with a comma", id: 1, source: "a" },
    { text: "second\nof two lines", id: 2, source: "b" },
    { text: 'third "quoted" ü', id: 3, source: "" },
  ];
  const texts = rows.map(({ text }) => text);
  const jsonl = `${rows.map((row) => JSON.stringify(row)).join("\n")}\n\n`;
  const csv = `text,id,source\n"first, with a comma",1,a\n"second\nof two lines",2,b\n"third ""quoted"" ü",3,\n`;
  const tsv = `text\tid\tsource\nfirst, with a comma\t1\ta\n"second\nof two lines"\t2\tb\n"third ""quoted"" ü"\t3\t\n`;
  const parquet = (codec: "SNAPPY" | "UNCOMPRESSED", rowGroupSize: number) =>
    Buffer.from(
      parquetWriteBuffer({
        columnData: [
          { name: "id", data: rows.map(({ id }) => id), type: "INT32" },
          { name: "text", data: texts, type: "STRING" },
          { name: "source", data: rows.map(({ source }) => source), type: "STRING" },
        ],
        codec,
        rowGroupSize,
      }),
    );

  it.each<[string, string | Uint8Array]>([
    ["rows.jsonl", jsonl],
    ["rows.ndjson", jsonl],
    ["rows.json", jsonl],
    ["rows.jsonl.gz", gzipSync(jsonl)],
    ["rows.jsonl.zst", rawFrame(Buffer.from(jsonl))],
    ["rows.csv", csv],
    ["rows.csv.gz", gzipSync(csv)],
    ["rows.tsv", tsv],
    ["ROWS.TSV.ZST", rawFrame(Buffer.from(tsv))],
    ["rows.parquet", parquet("SNAPPY", 1_000)],
    ["groups.parquet", parquet("UNCOMPRESSED", 2)],
  ])(
    "are read from %s, with the same hash of the texts and the columns beside them",
    async (name, content) => {
      const { manifest, documents, progress } = await imported(await fileOf(name, content));
      expect(documents.map(({ text }) => text)).toEqual(texts);
      const digests = texts.map((text) => sha256(text).digest());
      expect(manifest.sha256).toBe(sha256(Buffer.concat(digests)).digest("hex"));
      expect(manifest.columns.text).toBe("text");
      expect([...manifest.columns.meta].sort()).toEqual(["id", "source"]);
      // CSV knows no numbers.
      expect(documents.map(({ meta }) => Number(meta?.id))).toEqual([1, 2, 3]);
      expect(documents[1]!.meta?.source).toBe("b");
      const bytes = Buffer.byteLength(content);
      expect(progress.at(-1)).toMatchObject({ bytes, total_bytes: bytes });
    },
  );

  it("take the column that is named, else text, else the only one of texts", async () => {
    const row = JSON.stringify({ id: 1, body: "words", extra: { a: 1 }, list: [1], long: null });
    const body = await imported(await fileOf("a.jsonl", row));
    expect(body.texts).toEqual(["words"]);
    expect(body.manifest.columns.text).toBe("body");
    expect(body.documents[0]!.meta).toEqual({ id: 1, long: null });
    const title = await imported(await fileOf("a.csv", "title,text\na,b\n"), { text_column: "title" });
    expect(title.texts).toEqual(["a"]);
  });

  it("leave long texts away beside a document", async () => {
    const row = JSON.stringify({ text: "words", html: "x".repeat(1_025), short: "x".repeat(1_024) });
    const { documents } = await imported(await fileOf("a.jsonl", row));
    expect(Object.keys(documents[0]!.meta ?? {})).toEqual(["short"]);
  });

  it("leave empty and missing texts away, and count them", async () => {
    const lines = ['{"text":"a"}', '{"text":""}', '{"text":null}', "{}", '{"text":"b"}'];
    const { texts: kept, manifest } = await imported(await fileOf("a.jsonl", lines.join("\n")));
    expect(kept).toEqual(["a", "b"]);
    expect(manifest.n_empty).toBe(3);
  });
});

describe("what is known of a dataset", () => {
  it("is counted while it is read: lengths, repeated documents, columns", async () => {
    const texts = ["a", "bb", "bb", "cccc", "ddddddd", "ä😀", "bb"];
    const lines = texts.map((text) => JSON.stringify({ text })).join("\n");
    const { manifest } = await imported(await fileOf("a.jsonl", lines));
    expect(manifest.lengths).toEqual({
      shortest: 1,
      longest: 7,
      buckets: [
        { from: 1, to: 1, count: 1 },
        { from: 2, to: 3, count: 4 },
        { from: 4, to: 7, count: 2 },
      ],
    });
    expect(manifest.duplicates).toEqual({ count: 2, among: 7 });
    expect(manifest.n_characters).toBe(1 + 2 + 2 + 4 + 7 + 2 + 2);
  });

  it("ends where a limit says so", async () => {
    const file = await fileOf("a.txt", "aaa\nbbb\nccc\nddd\n");
    const two = await imported(file, { split_on: "line", limit_documents: 2 });
    expect(two.texts).toEqual(["aaa", "bbb"]);
    expect(two.manifest.limited).toBe(true);
    const eleven = await imported(file, { split_on: "line", limit_characters: 11 });
    expect(eleven.texts).toEqual(["aaa", "bbb", "ccc"]);
    const four = await imported(file, { split_on: "line", limit_documents: 4 });
    expect(four.manifest.limited).toBe(false);
  });
});

describe("a dataset's documents", () => {
  it("are read at any place, in batches, and searched whatever the capitals", async () => {
    const texts = Array.from({ length: 300 }, (_, at) => `Document ${at} ${"x".repeat(at % 7)}`);
    const lines = texts.map((text, id) => JSON.stringify({ text, id })).join("\n");
    const { folder } = await imported(await fileOf("a.jsonl", lines));
    const dataset = await openDataset(folder);
    expect((await dataset.read(298, 10)).map(({ index, text }) => [index, text])).toEqual([
      [298, texts[298]],
      [299, texts[299]],
    ]);
    expect(await dataset.read(300, 10)).toEqual([]);
    expect((await dataset.read(7, 1))[0]!.meta).toEqual({ id: 7 });
    const batches: number[][] = [];
    for await (const batch of dataset.batches(290, 40)) batches.push(batch.map(({ index }) => index));
    expect(batches.flat()).toEqual([290, 291, 292, 293, 294, 295, 296, 297, 298, 299]);
    expect(batches.length).toBeGreaterThan(2);
    const first = await dataset.search("DOCUMENT 29", 0, 2);
    expect(first.matches.map(({ index }) => index)).toEqual([29, 290]);
    expect(first).toMatchObject({ next: 291, searched: 291 });
    const rest = await dataset.search("DOCUMENT 29", first.next!, 100);
    expect(rest.matches.map(({ index }) => index)).toEqual([291, 292, 293, 294, 295, 296, 297, 298, 299]);
    expect(rest.next).toBeNull();
    expect(await dataset.search(".*", 0, 10)).toMatchObject({ matches: [], next: null, searched: 300 });
    await expect(dataset.search("", 0, 10)).rejects.toThrow(InvalidInputError);
    await dataset.close();
  });

  it("are shown around what was found, and no character is cut in two", async () => {
    const text = `${"😀".repeat(100)}a-b(c${"😀".repeat(100)}`;
    const { folder } = await imported(await fileOf("a.txt", text));
    const dataset = await openDataset(folder);
    const [match] = (await dataset.search("A-B(C", 0, 1)).matches;
    expect(match).toMatchObject({ index: 0, start: 200, length: 5 });
    expect(match!.excerpt.slice(match!.excerpt_start, match!.excerpt_start + 5)).toBe("a-b(c");
    expect(match!.excerpt).not.toMatch(/\p{Surrogate}/u);
    await dataset.close();
  });
});

it("shows what was found between whole words, and says where more follows", async () => {
  const { folder } = await imported(
    await fileOf("a.txt", `${"before ".repeat(30)}found ${"after ".repeat(30)}`.trim()),
  );
  const dataset = await openDataset(folder);
  const [found] = (await dataset.search("found", 0, 1)).matches;
  expect(found!.excerpt).toMatch(/^(before )+found( after)+$/);
  expect(found!.cut).toBe(true);
  const [last] = (await dataset.search("after after", 0, 1)).matches;
  expect(last!.excerpt.slice(last!.excerpt_start, last!.excerpt_start + last!.length)).toBe("after after");
  await dataset.close();
});

describe("an import", () => {
  it("leaves a folder that holds something as it is", async () => {
    const file = await fileOf("used/a.txt", "words");
    const importing = importDataset({
      source: { kind: "path", path: file },
      folder: path.join(home, "used"),
      options: {},
      hub: null,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    await expect(importing).rejects.toThrow(ConflictError);
    expect(await readdir(path.join(home, "used"))).toEqual(["a.txt"]);
  });

  it("leaves nothing when it is called off, whatever is being read", async () => {
    const lines = Array.from({ length: 30_000 }, (_, at) => `{"text":"document ${at} ${"x".repeat(200)}"}`);
    const file = await fileOf("a.jsonl", lines.join("\n"));
    const rows = lines.map((line) => (JSON.parse(line) as { text: string }).text);
    const columns = [{ name: "text", data: rows, type: "STRING" as const }];
    const parquet = await fileOf("a.parquet", new Uint8Array(parquetWriteBuffer({ columnData: columns })));
    for (const source of [file, parquet]) {
      const abort = new AbortController();
      const folder = path.join(home, "deep", "cancelled");
      const importing = importDataset({
        source: { kind: "path", path: source },
        folder,
        options: {},
        hub: null,
        signal: abort.signal,
        onProgress: () => abort.abort(new Error("enough")),
      });
      await expect(importing).rejects.toThrow("enough");
      expect(await readdir(path.join(home, "deep"))).toEqual([]);
    }
  });

  it("names everything that is wrong with its options", async () => {
    const file = await fileOf("a.txt", "words");
    const wrong = imported(file, { limit_documents: 0, limit_characters: 1.5, split_on: { separator: "" } });
    await expect(wrong).rejects.toThrow(InvalidInputError);
    const faults = await wrong.catch((error: InvalidInputError) => error.faults.map(({ path: at }) => at));
    expect(faults).toEqual(expect.arrayContaining(["limit_documents", "limit_characters"]));
  });
});
