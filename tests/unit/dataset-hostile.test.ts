import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataset } from "../../server/datasets/dataset.ts";
import { DatasetError } from "../../server/datasets/dataset-error.ts";
import { importDataset } from "../../server/datasets/import.ts";
import type { ImportOptionsInput } from "../../server/datasets/options.ts";
import { bombFrame, rawFrame } from "../reference/zstd-frames.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-hostile-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const out = () => path.join(home, "dataset");

function importing(file: string, options: ImportOptionsInput = {}) {
  return importDataset({
    source: { kind: "path", path: file },
    folder: out(),
    options,
    hub: null,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
}

async function fileOf(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(path.join(home, name), content);
  return path.join(home, name);
}

const openHandles = async () => (await readdir("/proc/self/fd").catch(() => [])).length;

/** Importing fails in these words, as an error of its type, and leaves nothing, nor any file open. */
async function refused(
  name: string,
  content: string | Uint8Array,
  words: RegExp | string,
  options: ImportOptionsInput = {},
): Promise<void> {
  const file = await fileOf(name, content);
  const before = (await readdir(home)).sort();
  const handles = await openHandles();
  const attempt = importing(file, options);
  await expect(attempt).rejects.toThrow(words);
  await expect(attempt).rejects.toThrow(DatasetError);
  await expect(attempt).rejects.toMatchObject({ code: "invalid" });
  expect((await readdir(home)).sort()).toEqual(before);
  // Threads close theirs as they end.
  if (!name.endsWith(".parquet")) await expect.poll(openHandles).toBeLessThanOrEqual(handles);
}

const wrongByte = Buffer.from([0x61, 0xff, 0x62]);

describe("bytes that are not UTF-8", () => {
  it("are told with their file and place", async () => {
    await refused(
      "a.txt",
      Buffer.concat([Buffer.from("ä\n\n"), wrongByte]),
      /a\.txt is not UTF-8 at byte 5 /,
    );
    await refused("a.txt", wrongByte, /a\.txt is not UTF-8 at byte 1 /, { split_on: "file" });
    const line = Buffer.concat([Buffer.from('{"text":"ok"}\n{"text":"'), wrongByte, Buffer.from('"}')]);
    await refused("a.jsonl", line, /a\.jsonl is not UTF-8 at byte 24 /);
    const field = Buffer.concat([Buffer.from("text\nok\n"), wrongByte]);
    await refused("a.csv", field, /a\.csv is not UTF-8 at byte 9 /);
  });

  it("are told behind megabytes of others, and where a character is cut off", async () => {
    // A piece of a file ends within the character at its border.
    const long = Buffer.concat([Buffer.from("text\nx"), Buffer.from("€".repeat(700_000)), wrongByte]);
    await refused("long.csv", long, new RegExp(`is not UTF-8 at byte ${6 + 3 * 700_000 + 1} `));
    const cut = Buffer.from("text\nab€").subarray(0, -1);
    await refused("cut.csv", cut, /is not UTF-8 at byte 9 /);
    await refused("cut.txt", cut, /is not UTF-8 at byte 9 /);
  });

  it("may be whole characters that pieces cut in two", async () => {
    const text = `x${"€".repeat(700_000)}`;
    await importing(await fileOf("whole.csv", `text\n${text}\n`));
    const dataset = await openDataset(out());
    expect((await dataset.read(0, 1))[0]!.text).toBe(text);
    await dataset.close();
  });

  it("may be half a character in JSON's escapes", async () => {
    await refused("a.jsonl", '{"text":"ok"}\n{"text":"\\ud83d!"}', /a\.jsonl, line 2: .* half a character/);
  });
});

describe("lines that are not JSON", { timeout: 60_000 }, () => {
  it.each<[string, RegExp]>([
    ['{"text":"a"}\n{"text":', /line 2: it is not JSON/],
    ['{"text":"a"}\n\n[1]', /line 3: it is JSON, but not an object/],
    ['{"text":"a"}\n7', /line 2: it is JSON, but not an object/],
    ['{"text":"a"}\n{"text":7}', /line 2: "text" is not a text but number/],
    [`{"text":"a"}\n{"a":${"[".repeat(100)}${"]".repeat(100)}}`, /line 2: it nests deeper than 64/],
    ['[{"text":"a"}]', /begins with a list.*jq/],
    ['{"id":1}', /no column of texts.*Its columns are "id"\./],
    [
      '{"a":"x","b":"y"}',
      /several columns of texts.*"a" \(text\), "b" \(text\).*Say which is the text column/,
    ],
    ["", /There is no document in it/],
    ["{}", /no column of texts.*Its columns are none/],
    ['{"text":""}', /There is no document in it: 1 of its texts are empty/],
    [`{"text":"${"x".repeat(33 * 2 ** 20)}"}`, /line 1 is longer than 33554432 bytes/],
    [
      `{"text":"${"x".repeat(17 * 2 ** 20)}"}`,
      /line 1: the document has 17825792 bytes; 16777216 is the most/,
    ],
  ])("are told with their number (%#)", (content, words) => refused("a.jsonl", content, words));

  it("are told where a column that was asked for is missing", async () => {
    const row = '{"text":"a","id":1}';
    await refused("a.jsonl", row, /no column "body".*"text" \(text\), "id"/, { text_column: "body" });
    await refused("a.jsonl", row, /the column "id" does not hold texts/, { text_column: "id" });
  });
});

describe("rows that are not CSV", { timeout: 60_000 }, () => {
  it.each<[string, RegExp]>([
    ["text,id\na,1\nb,2,3\n", /line 3: it has another number of fields/],
    ["text,id\na,1\nb\n", /line 3: it has another number of fields/],
    ['text,id\na,1\n"b,2\n', /the quote opened in the record at line 3 is never closed/],
    ['text,id\na,1\n"b"c,2\n', /line 3: it is not CSV/],
    ["text,text\na,b\n", /names the column "text" twice/],
    ["a,b\n1,2\n", /several columns of texts/],
    ["text\n", /There is no document/],
    [`text\n"${"x\n".repeat(17 * 2 ** 20)}`, /record that begins at line 2 is longer than 33554432 bytes/],
  ])("are told with their line (%#)", (content, words) => refused("a.csv", content, words));
});

describe("packed files", { timeout: 60_000 }, () => {
  const text = "words and more words\n".repeat(2_000);

  it("are told where they are cut off or damaged", async () => {
    const zipped = gzipSync(text);
    await refused("a.txt.gz", zipped.subarray(0, -20), /a\.txt\.gz is cut off within its gzip stream/);
    await refused("a.txt.gz", text, /is not a gzip stream, or is damaged/);
    const flipped = Buffer.from(zipped);
    flipped[flipped.length - 6]! ^= 1;
    await refused("a.txt.gz", flipped, /is not a gzip stream, or is damaged/);
    const frame = rawFrame(Buffer.from(text));
    for (const end of [3, 5, 8, 1_000, frame.length - 1]) {
      await refused("a.txt.zst", frame.subarray(0, end), /is cut off within its zstd stream/);
    }
    await refused("a.txt.zst", text, /is not a zstd stream, or is damaged/);
    await refused("a.txt.zst", Buffer.concat([frame, Buffer.from("junk")]), /is not a zstd stream/);
  });

  it("are refused where they unpack out of all proportion", async () => {
    await refused("a.txt.zst", bombFrame(12), /unpacks from \d+ to over \d+ bytes, which no text does/, {
      split_on: "line",
    });
    const bomb = gzipSync(Buffer.alloc(90 * 2 ** 20, `${"a".repeat(2 ** 23)}\n`));
    await refused("a.txt.gz", bomb, /unpacks from \d+ to over \d+ bytes/, { split_on: "line" });
  });

  it("are refused where they ask for a huge window or for a dictionary", async () => {
    const words = Buffer.from("words");
    await refused(
      "a.txt.zst",
      rawFrame(words, { window: 0xf8 }),
      /asks for a zstd window of 2199023255552 bytes/,
    );
    await refused("a.txt.zst", rawFrame(words, { dictionary: 7 }), /packed with a zstd dictionary/);
  });

  it("may be several streams one after another, with others between that are to be skipped", async () => {
    const skipped = Buffer.concat([Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from("xyz")]);
    const frames = [
      rawFrame(Buffer.from("one\n")),
      skipped,
      rawFrame(Buffer.from("two\n")),
      rawFrame(Buffer.alloc(0)),
    ];
    await importing(await fileOf("a.txt.zst", Buffer.concat(frames)), { split_on: "line" });
    const dataset = await openDataset(out());
    expect((await dataset.read(0, 9)).map(({ text: one }) => one)).toEqual(["one", "two"]);
    await dataset.close();
    const members = Buffer.concat([gzipSync("one\n"), gzipSync("two\n")]);
    await rm(out(), { recursive: true });
    await importing(await fileOf("a.txt.gz", members), { split_on: "line" });
    const again = await openDataset(out());
    expect((await again.read(0, 9)).map(({ text: one }) => one)).toEqual(["one", "two"]);
    await again.close();
  });

  it("are read as zstd itself packed them", async () => {
    // zstd 1.5 at level 19, with entropy-coded blocks and a checksum.
    const packed = Buffer.from(
      "KLUv/WQDVq0bALbyYBqAKdUcxFibzyIjbA1hBvCgpSU7iV/GBrqkPXIAVQBUAF+PF3dWZGNiW40WdlZUU1JXixV1VkRDQlOJFHRW" +
        "NDMyT4cTc1YkIyJLhRJy2zU9y995fNYqdSq9LRs9Y5E4FM6SDJ4VjVwEBAsKCKDBgSFAAoIEhwUFFAwJBA4GhQVDGA4HEgwkGLCA" +
        "cCDg4LAg4XDAIDwej8fj8Wg0Go1Go9GMxmKxWCwWi8VikUgkEolEIpFIHA6Hw+FwOBwOhUKhUCgUCoXCOeecc845y7Isy7Isy5Ik" +
        "SZIkSZIkg8FgMBgMBoPBs6KbkwvX6/V6vV6vV6vVarVarVartVqtVqvVarVapVKpVCqVSqVSp9PpdDqdTqdTqVQqlUqlUqn03nvv" +
        "vffetm3btm3btmVZlmVZlmXZaDQajUaj0Wj0eLz3fd/3fd/3bdu2bdu2bdt1Xdd1Xdd1TdM0TdM0TdPzPM/zPM/zLMuyLMuyLMv/" +
        "/////7333nvvvXPOOeeccx7HcRzHcRzH14GWqCEYfdj/DTHHiARJDxL4TyAIJBAECoKEAEEIJB4BklS5HxYaOnINyl100asXVXxy" +
        "cxYL4KBDIBbAJKwkaPDQFShv0MVLXSpxS8stXMCBjoFYAFORkqCCo1aguKGTvnKphi8Xd7EAB3IEYQGMREWFBo5ugnKFXvTqRBWf" +
        "nJzFAjzoEMQFMAk1CRo0dAXKGnTxaZdKfNVyC0twoCMgFsBEpCRU4agVLG7oxK9cquDLxU0swEEeQViAI1GRsIGjkwjnFbrolYsq" +
        "bvI19Tips0T9KtQPnj7ndMOm3zF9tnRDlH6b9AHSjR39qtFHRXcR/ZKhT4XuIuh3QJ/+3MvnDz2fwnPfnT/o/C7nDnH+d/PL5r7U" +
        "/JXmGzP3J/NnzF8wt3v5Ly7fttyA5edWPlS5vZSfUD7k5LYmP1DyMZJbjvxI5FfILQLy048fPG7X8VOOv23cofFTMv7FuMPF37P4" +
        "seJ+FH9N/IvE3Ub8AuJ/D3c6/AA/Ryz8lZzWAmEM21LBQ5Rehc0JF0Tiq2dkcaGrweOVJUTUNQJrCyEk3npGthHRVixeWUJEX4UM" +
        "diPypSWNJYj/okDRIqAwHYqQB4N8WZBfBPIRkPf/eMnPsByfyT7etyIHErYODJCY1SsiYK6ZHEF+pZgI8uuT1wBgXU3NKhZR4sM=",
      "base64",
    );
    await importing(await fileOf("a.jsonl.zst", packed));
    const dataset = await openDataset(out());
    const texts = (await dataset.read(0, 1_000)).map(({ text: one }) => one);
    await dataset.close();
    expect(texts).toEqual(
      Array.from({ length: 400 }, (_, at) => `document ${at} of the fixture, ${"word ".repeat(at % 7)}`),
    );
    packed[600]! ^= 0xff;
    await rm(out(), { recursive: true });
    await expect(importing(await fileOf("b.jsonl.zst", packed))).rejects.toThrow(DatasetError);
  });
});

describe("Parquet", { timeout: 60_000 }, () => {
  const texts = Array.from({ length: 200 }, (_, at) => `document ${at}`);
  const written = (columns: Parameters<typeof parquetWriteBuffer>[0]["columnData"]) =>
    Buffer.from(parquetWriteBuffer({ columnData: columns, rowGroupSize: 50, codec: "UNCOMPRESSED" }));
  const good = () => written([{ name: "text", data: texts, type: "STRING" }]);

  it("is told where it is cut off, something else, or of no text", async () => {
    await refused("a.parquet", good().subarray(0, -5), /does not end as Parquet does/);
    await refused("a.parquet", "PAR1", /does not end as Parquet does/);
    await refused(
      "a.parquet",
      written([{ name: "id", data: [1, 2], type: "INT32" }]),
      /no column of texts.*"id"/,
    );
    await refused("a.parquet", Buffer.concat([good().subarray(0, 4), good().subarray(200)]), /a\.parquet/);
  });

  it("is told with the row where a text is not UTF-8", async () => {
    const file = good();
    file[file.indexOf("document 17")] = 0xff;
    await refused("a.parquet", file, /a\.parquet, row 18 is not UTF-8 at byte 0 /);
  });

  it("is survived wherever a byte of its footer is another", async () => {
    const whole = good();
    const footer = whole.readUInt32LE(whole.length - 8);
    for (let at = 1; at <= 8; at++) {
      const file = Buffer.from(whole);
      file[whole.length - 8 - Math.floor((footer * at) / 9)]! ^= 0x55;
      await rm(out(), { recursive: true, force: true });
      const told = await importing(await fileOf("a.parquet", file)).then(
        () => null,
        (error: unknown) => error,
      );
      if (told !== null) expect(told).toBeInstanceOf(DatasetError);
    }
  });

  it("claims a footer of gigabytes", async () => {
    const file = good();
    file.writeUInt32LE(2 ** 31, file.length - 8);
    await refused("a.parquet", file, /footer of 2147483648 bytes/);
  });
});

describe("a source", { timeout: 60_000 }, () => {
  it("that is missing, of another format, or holds nothing, is told", async () => {
    await expect(importing(path.join(home, "none.txt"))).rejects.toThrow(/There is no file .*none\.txt/);
    await refused("a.docx", "x", /of no format that is read\. Those are \.txt, \.jsonl/);
    await expect(importing(home)).rejects.toThrow(/holds no file that is read|docx/);
  });

  it("that has a document longer than may be kept is told with what to do", async () => {
    const long = Buffer.alloc(17 * 2 ** 20, "a");
    await refused("a.txt", long, /longer than 16777216 bytes.*split_on/, { split_on: "file" });
    await refused("a.txt", long, /line 1 is longer than 16777216 bytes/, { split_on: "line" });
    const lines = Buffer.alloc(17 * 2 ** 20, `${"a".repeat(99)}\n`);
    await refused("a.txt", lines, /from line 1 on there is no blank line/);
  });
});

describe("a stored dataset", () => {
  async function stored(): Promise<string> {
    await importing(await fileOf("a.txt", "one\n\ntwo\n\nthree"));
    return out();
  }

  it("is opened only with all of its files in their sizes", async () => {
    const folder = await stored();
    const manifest = JSON.parse(await readFile(path.join(folder, "manifest.json"), "utf8"));
    expect(manifest.shards).toHaveLength(1);
    for (const { file, sha256 } of [manifest.index, manifest.shards[0]]) {
      const bytes = await readFile(path.join(folder, file));
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
      await truncate(path.join(folder, file), bytes.length - 1);
      await expect(openDataset(folder)).rejects.toThrow(/has \d+ bytes, but was written with/);
      await rm(path.join(folder, file));
      await expect(openDataset(folder)).rejects.toThrow(DatasetError);
      await writeFile(path.join(folder, file), bytes);
    }
    await (await openDataset(folder)).close();
  });

  it.each<[string, (manifest: Record<string, unknown>) => unknown]>([
    ["another version", (manifest) => ({ ...manifest, format_version: 2 })],
    ["a number of documents that is not theirs", (manifest) => ({ ...manifest, n_documents: 7 })],
    [
      "a path for a file",
      (manifest) => ({ ...manifest, index: { ...(manifest.index as object), file: "../x" } }),
    ],
    ["no shards", (manifest) => ({ ...manifest, shards: [] })],
    ["nothing", () => ({})],
  ])("is refused with %s", async (_name, change) => {
    const folder = await stored();
    const file = path.join(folder, "manifest.json");
    await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, "utf8")))));
    const reading = openDataset(folder).then(async (dataset) => {
      try {
        return await dataset.read(0, 10);
      } finally {
        await dataset.close();
      }
    });
    await expect(reading).rejects.toThrow(DatasetError);
  });

  it("never reads beyond its files, whatever its index says", async () => {
    const folder = await stored();
    const file = path.join(folder, "documents.index");
    const entries = await readFile(file);
    for (const [at, value] of [
      [0, 2 ** 31],
      [6, 255],
      [8, 2 ** 31],
      [8, 9],
      [12, 2 ** 20],
      [12, 1],
    ] as const) {
      const changed = Buffer.from(entries);
      if (value < 256) changed[at] = value;
      else changed.writeUInt32LE(value, at);
      await writeFile(file, changed);
      const dataset = await openDataset(folder);
      await dataset.read(0, 10).then(
        (documents) => expect(documents.length).toBe(3),
        (error: unknown) => expect(error).toBeInstanceOf(DatasetError),
      );
      await dataset.close();
    }
  });
});
