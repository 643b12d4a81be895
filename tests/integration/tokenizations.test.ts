import { access, cp, rm } from "node:fs/promises";
import path from "node:path";
import { eq } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tokenizations } from "../../db/schema.ts";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient, faultsOf } from "../../server/client.ts";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { readyDatasetOf, readyModelOf } from "./language-models.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import { tinyTexts } from "./tiny-model.ts";

let test: TestServices;
let server: ApiServer;
let home: string;
let model_id: string;
let dataset_id: string;
beforeAll(async () => {
  test = await testServices();
  server = await serveApi(test.services);
  home = test.services.env.home;
  model_id = await readyModelOf(test, "Tiny");
  dataset_id = await readyDatasetOf(test, "Words");
});
afterAll(async () => {
  await server.close();
  await test.close();
});
const client = () => createFacetClient({ url: server.url });
const api = () => client().api.tokenizations;

async function settled(id: string): Promise<TokenizationView> {
  for (;;) {
    const one = await api().get.query({ id });
    if (one.status !== "tokenizing") return one;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function made(options: Record<string, string | number>, name?: string): Promise<TokenizationView> {
  const { id } = await api().create.mutate({
    dataset_id,
    model_id,
    options,
    ...(name === undefined ? {} : { name }),
  });
  return settled(id);
}

describe("tokenizing", () => {
  it("packs a dataset, counts its tokens and shows them", async () => {
    const one = await made({ context_size: 16, held_out: 0.1 });
    const bytes = tinyTexts(40).reduce((sum, text) => sum + text.length, 0);
    expect(one).toMatchObject({
      name: "Words, 16 tokens",
      status: "ready",
      reason: null,
      dataset: { id: dataset_id, name: "Words" },
      model: { id: model_id, name: "Tiny" },
      options: { context_size: 16, bos: "sequence", separator: "bos", remainder: "drop", held_out: 0.1 },
      n_documents: 40,
      n_padding_tokens: 0,
      uses: { captures: 0, activation_sets: 0, runs: 0 },
    });
    const { n_sequences, held_out_sequences, n_text_tokens, n_special_tokens, statistics } = one;
    expect(n_text_tokens! + n_special_tokens!).toBe(16 * n_sequences!);
    expect(n_text_tokens! + statistics!.n_dropped_tokens).toBe(bytes);
    expect(held_out_sequences).toBe(Math.round(0.1 * n_sequences!));

    const page = await api().sequences.query({ id: one.id, count: 2 });
    expect(page.total).toBe(n_sequences);
    const [first] = page.sequences;
    expect(first!.tokens[0]).toEqual({ id: 256, text: "<|endoftext|>", kind: "special" });
    expect(
      first!.tokens
        .slice(1)
        .map(({ text }) => text)
        .join(""),
    ).toBe(tinyTexts(1)[0]!.slice(0, 15));
    expect(first!.documents).toEqual([{ document: 0, first: 1, last: 15, offset: 0 }]);
    const last = await api().sequences.query({ id: one.id, start: n_sequences! - 1 });
    expect(last.sequences).toMatchObject([{ index: n_sequences! - 1, held_out: true }]);
    expect(first!.held_out).toBe(false);
  });

  it("shows a text's tokens before, by the options", async () => {
    const shown = await api().preview.query({
      model_id,
      source: { text: "a cat" },
      options: { context_size: 8, bos: "none", separator: "none" },
    });
    expect(shown.sequences).toHaveLength(1);
    expect(shown.sequences[0]!.map(({ text, kind }) => (kind === "padding" ? "" : text)).join("")).toBe(
      "a cat",
    );
    const documents = await api().preview.query({ model_id, source: { dataset_id, count: 2 }, sequences: 2 });
    expect(documents.packing).toMatchObject({ context_size: 32 });
    expect(documents.sequences).toHaveLength(2);
  });

  it("does nothing twice, and says which one is the same", async () => {
    await made({ context_size: 12 }, "The first");
    await expect(made({ context_size: 12 })).rejects.toThrow(
      /^“The first” is the same: .* It is ready; use it\.$/,
    );
    const other = await readyModelOf(test, "Same tokenizer", 2);
    expect((await api().list.query({ model_id: other, text: "first" })).total).toBe(1);
  });

  it("names wrong options at their paths, and refuses what is not there or not ready", async () => {
    const faults = async (asked: Promise<unknown>) => faultsOf(await asked.catch((error: unknown) => error));
    expect(await faults(made({ context_size: 1, remainder: "keep" }))).toMatchObject([
      { path: "options.context_size" },
      { path: "options.remainder" },
    ]);
    expect(await faults(made({ context_size: 64 }))).toMatchObject([{ path: "options.context_size" }]);
    const none = "019ab000-0000-7000-8000-000000000000";
    await expect(api().create.mutate({ dataset_id: none, model_id })).rejects.toThrow(/There is no dataset/);
    await expect(api().create.mutate({ dataset_id, model_id: none })).rejects.toThrow(/There is no model/);
  });

  it("keeps why it failed, and can be tried again", async () => {
    const { path: folder } = await client().api.datasets.get.query({ id: dataset_id });
    const aside = path.join(home, "aside");
    const one = await made({ context_size: 10 }, "Cut");
    await test.services.db
      .update(tokenizations)
      .set({ status: "failed", reason: "The server ended." })
      .where(eq(tokenizations.id, one.id));
    await rm(path.join(home, "tokenizations", one.id), { recursive: true });
    await cp(path.join(home, folder), aside, { recursive: true });
    await rm(path.join(home, folder), { recursive: true });
    await api().retry.mutate({ id: one.id });
    expect(await settled(one.id)).toMatchObject({
      status: "failed",
      reason: expect.stringMatching(/no|not|missing/),
    });
    await cp(aside, path.join(home, folder), { recursive: true });
    await api().retry.mutate({ id: one.id });
    expect(await settled(one.id)).toMatchObject({
      status: "ready",
      n_sequences: one.n_sequences,
      bytes: one.bytes,
    });
  });
});

describe("deleting", () => {
  it("is refused for what a tokenization is made of, which it names", async () => {
    const { api: all } = client();
    await expect(all.datasets.delete.mutate({ id: dataset_id })).rejects.toThrow(
      "“Words” is used by the tokenization “Words, 16 tokens”, the tokenization “The first”, the tokenization “Cut”; delete those first.",
    );
    await expect(all.models.delete.mutate({ id: model_id })).rejects.toThrow(
      /^“Tiny” is used by the tokenization/,
    );
    expect((await all.models.get.query({ id: model_id })).uses.tokenizations).toBeGreaterThan(1);
    expect((await all.datasets.get.query({ id: dataset_id })).tokenizations).toBeGreaterThan(1);
  });
});

describe("the command line", () => {
  it("tokenizes, lists and deletes", async () => {
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
    const subject = ["--dataset", dataset_id, "--model", model_id];
    const done = await facet("tokenizations", "create", ...subject, "--context-size", "9", "--bos", "none");
    expect(done.text).toMatch(/Tokenized “Words, 9 tokens”: \d+ sequences of 9/);
    const id = done.text.split("Id: ")[1]!;
    expect((await facet("tokenizations", "list", "--dataset", dataset_id)).text).toContain(id);
    expect(await facet("tokenizations", "create", ...subject, "--bos", "twice")).toMatchObject({
      code: 1,
      text: expect.stringMatching(/^options\.bos: /),
    });
    expect((await facet("tokenizations", "delete", id)).text).toBe("Deleted.");
    await expect(access(path.join(home, "tokenizations", id))).rejects.toThrow();
  });
});
