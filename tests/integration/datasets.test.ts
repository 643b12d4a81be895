import { access, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient, faultsOf } from "../../server/client.ts";
import type { DatasetDetail } from "../../server/datasets/views.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import { tinyTexts, writeTinyTexts } from "./tiny-model.ts";

let test: TestServices;
let server: ApiServer;
let home: string;
let texts: string;
beforeAll(async () => {
  test = await testServices({ FACET_UPLOAD_LIMIT_BYTES: "10000" });
  server = await serveApi(test.services);
  home = test.services.env.home;
  texts = await writeTinyTexts(at("given/texts.jsonl"));
});
afterAll(async () => {
  await server.close();
  await test.close();
});
const at = (name: string) => path.join(home, name);
const client = () => createFacetClient({ url: server.url });
const api = () => client().api.datasets;

async function settled(id: string): Promise<DatasetDetail> {
  for (;;) {
    const dataset = await api().get.query({ id });
    if (dataset.status !== "importing") return dataset;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function imported(name: string, options = {}): Promise<DatasetDetail> {
  const { id } = await api().import.mutate({ source: { kind: "path", path: texts }, name, options });
  return settled(id);
}

describe("importing a dataset", () => {
  it("counts it, and pages and searches its documents", async () => {
    const dataset = await imported("Words");
    const all = tinyTexts(40);
    expect(dataset).toMatchObject({
      name: "Words",
      status: "ready",
      reason: null,
      source: { kind: "path", path: texts },
      n_documents: 40,
      n_characters: all.join("").length,
      options: { text_column: null, limit_documents: null },
      statistics: { n_empty: 0, limited: false, columns: { text: "text", meta: ["number"] } },
      tokenizations: 0,
    });
    const page = await api().documents.query({ id: dataset.id, start: 38, count: 5, length: 10 });
    expect(page).toEqual({
      total: 40,
      next: null,
      documents: [38, 39].map((index) => ({
        index,
        text: all[index]!.slice(0, 10),
        characters: all[index]!.length,
        truncated: true,
        meta: { number: index },
      })),
    });
    expect((await api().documents.query({ id: dataset.id, count: 2 })).next).toBe(2);
    const wanted = all.flatMap((text, index) => (text.includes("red birds") ? [index] : []));
    const found = await api().search.query({ id: dataset.id, text: "RED birds", limit: 100 });
    expect(found.matches.map(({ index }) => index)).toEqual(wanted);
    expect(found.next).toBeNull();
  });

  it("cuts no character in two where it shortens", async () => {
    await writeFile(at("given/cats.txt"), "🐈🐈🐈");
    const { id } = await api().import.mutate({ source: { kind: "path", path: at("given/cats.txt") } });
    await settled(id);
    const { documents } = await api().documents.query({ id, length: 2 });
    expect(documents).toMatchObject([{ text: "🐈🐈", characters: 3, truncated: true }]);
  });

  it("keeps the reason of one that failed, and names wrong options at their paths", async () => {
    const dataset = await imported("No column", { text_column: "prose" });
    expect(dataset.status).toBe("failed");
    expect(dataset.reason).toMatch(/prose/);
    const error = await imported("Wrong", { limit_documents: 0 }).catch((caught: unknown) => caught);
    expect(faultsOf(error)).toMatchObject([{ path: "options.limit_documents" }]);
    await expect(api().documents.query({ id: dataset.id })).rejects.toThrow(/failed; try it again first/);
  });
});

describe("uploading a dataset", () => {
  it("takes the bytes, reads them by the file's name and removes them", async () => {
    const { id } = await client().uploadDataset(new Blob([await readFile(texts)]), {
      file_name: "mine.jsonl",
      name: "Uploaded",
      limit_documents: 7,
    });
    expect(await settled(id)).toMatchObject({
      name: "Uploaded",
      status: "ready",
      origin: "mine.jsonl",
      source: { kind: "upload", file_name: "mine.jsonl" },
      n_documents: 7,
      statistics: { limited: true },
    });
    expect(await readdir(at("uploads"))).toEqual([]);
  });

  it("refuses what is too large, unnamed, or of no format that is read", async () => {
    const bytes = (count: number) => new Blob([new Uint8Array(count).fill(97)]);
    await expect(client().uploadDataset(bytes(10_001), { file_name: "a.txt" })).rejects.toMatchObject({
      status: 413,
    });
    await expect(client().uploadDataset(bytes(1), { file_name: "../a.txt" })).rejects.toMatchObject({
      status: 400,
      faults: [{ path: "file_name" }],
    });
    const { id } = await client().uploadDataset(bytes(9), { file_name: "a.docx" });
    expect(await settled(id)).toMatchObject({
      status: "failed",
      reason: expect.stringMatching(/^a\.docx is of no format/),
    });
    await api().delete.mutate({ id });
    expect(await readdir(at("uploads"))).toEqual([]);
  });

  it("reads the same bytes in another way where the first failed", async () => {
    const table = new Blob(["title,body\nOne,First text.\nTwo,Second text.\n"]);
    const { id } = await client().uploadDataset(table, { file_name: "table.csv" });
    expect((await settled(id)).reason).toMatch(/^table\.csv has several columns of texts.*"title".*"body"/);
    await api().retry.mutate({ id });
    expect((await settled(id)).status).toBe("failed");
    await api().retry.mutate({ id, options: { text_column: "body" } });
    expect(await settled(id)).toMatchObject({
      status: "ready",
      n_documents: 2,
      options: { text_column: "body", limit_documents: null },
    });
    expect(await readdir(at("uploads"))).toEqual([]);
  });
});

describe("the command line", () => {
  it("imports by path, shows and deletes", async () => {
    const facet = async (...words: string[]) => {
      const lines: string[] = [];
      const write = (line: string) => void lines.push(line);
      const code = await runCommand([...words, "--url", server.url], {
        out: write,
        err: write,
        terminal: false,
      });
      return { code, text: lines.join("\n") };
    };
    const made = await facet("datasets", "import", texts, "--name", "By hand", "--limit-documents", "5");
    expect(made.text).toMatch(/Imported “By hand”: 5 documents/);
    const id = made.text.split("Id: ")[1]!;
    expect((await facet("datasets", "list", "--text", "by hand")).text).toContain("ready");
    expect((await facet("datasets", "show", id)).text).toContain(`document 0: ${tinyTexts(1)[0]}`);
    const { path: folder } = await api().get.query({ id });
    expect((await facet("datasets", "delete", id)).text).toBe("Deleted.");
    await expect(access(at(folder))).rejects.toThrow();
    expect((await facet("datasets", "import", texts, "--split-on", "word")).code).toBe(2);
  });
});
