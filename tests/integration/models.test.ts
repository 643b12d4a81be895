import { access, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { eq, sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { models } from "../../db/schema.ts";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient, faultsOf } from "../../server/client.ts";
import { failAbandonedModels } from "../../server/models/register.ts";
import type { ModelDetail } from "../../server/models/views.ts";
import { commitOf, type HubRequest, startHub } from "../reference/hub-server.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { until } from "./processes.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import { tiny, writeTinyModel } from "./tiny-model.ts";

let test: TestServices;
let server: ApiServer;
let home: string;
beforeAll(async () => {
  test = await testServices();
  server = await serveApi(test.services);
  home = test.services.env.home;
  await writeTinyModel(at("given/tiny"));
});
afterAll(async () => {
  await server.close();
  await test.close();
});
const at = (name: string) => path.join(home, name);
const api = () => createFacetClient({ url: server.url }).api.models;

async function settled(id: string): Promise<ModelDetail> {
  for (;;) {
    const model = await api().get.query({ id });
    if (model.status !== "importing") return model;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function imported(name: string, folder = at("given/tiny")): Promise<ModelDetail> {
  const { id } = await api().import.mutate({ source: { kind: "folder", path: folder }, name });
  return settled(id);
}

describe("importing a model", () => {
  it("says what a folder holds before, and takes it with its hook points", async () => {
    const source = { kind: "folder" as const, path: at("given/tiny") };
    const preview = await api().preview.query({ source });
    expect(preview).toMatchObject({
      name: "tiny",
      supported: true,
      reason: null,
      model_type: "gpt2",
      tokenizer: true,
      sizes: { layers: 2, d_model: tiny.d_model, context: tiny.n_ctx },
      existing: null,
    });
    const model = await imported("Tiny");
    expect(model).toMatchObject({
      name: "Tiny",
      status: "ready",
      progress: null,
      origin: source.path,
      source,
      model_type: "gpt2",
      d_model: tiny.d_model,
      n_layers: tiny.n_layers,
      n_ctx: tiny.n_ctx,
      d_vocab: tiny.vocabulary,
      parameters: preview.sizes?.parameters,
      has_tokenizer: true,
      memory: preview.sizes?.memory,
      uses: { tokenizations: 0, captures: 0, activation_sets: 0, runs: 0 },
    });
    expect(model.bytes).toBe(preview.download_bytes);
    expect(model.hook_points.find(({ name }) => name === "blocks.1.mlp.hook_post")?.width).toBe(tiny.d_mlp);
    expect((await readdir(at(model.path))).sort()).toEqual([
      "config.json",
      "facet-model.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    expect((await api().preview.query({ source })).existing).toEqual({ id: model.id, name: "Tiny" });
  });

  it("keeps the reason of one that failed, which can be tried again", async () => {
    await mkdir(at("given/broken"), { recursive: true });
    await writeFile(at("given/broken/config.json"), '{"model_type":"mamba"}');
    const model = await imported("Broken", at("given/broken"));
    expect(model.status).toBe("failed");
    expect(model.reason).toMatch(/mamba/);
    await rm(at("given/broken"), { recursive: true });
    await cp(at("given/tiny"), at("given/broken"), { recursive: true });
    await api().retry.mutate({ id: model.id });
    expect(await settled(model.id)).toMatchObject({ status: "ready", reason: null });
    await expect(api().retry.mutate({ id: model.id })).rejects.toThrow(
      "“Broken” is ready, not a failed import.",
    );
  });

  it("can be canceled while it goes on, and marks what a dead server left", async () => {
    const row = { name: "Stuck", origin: "x", source: { kind: "folder" as const, path: at("given/tiny") } };
    const [stuck, dead] = await test.services.db
      .insert(models)
      .values([row, row])
      .returning({ id: models.id });
    await api().cancel.mutate({ id: stuck!.id });
    expect(await settled(stuck!.id)).toMatchObject({
      status: "failed",
      reason: expect.stringMatching(/canceled/),
    });
    await expect(api().cancel.mutate({ id: stuck!.id })).rejects.toThrow(
      "“Stuck” is failed, not being imported.",
    );
    await failAbandonedModels(test.services.db);
    expect((await api().get.query({ id: dead!.id })).status).toBe("importing");
    await expect(api().delete.mutate({ id: dead!.id })).rejects.toThrow(/still being imported; cancel/);
    await test.services.db
      .update(models)
      .set({ updated_at: sql`now() - interval '1 minute'` })
      .where(eq(models.id, dead!.id));
    await failAbandonedModels(test.services.db);
    expect((await api().get.query({ id: dead!.id })).reason).toMatch(/server ended in the middle/);
    await api().retry.mutate({ id: dead!.id });
    expect((await settled(dead!.id)).status).toBe("ready");
  });

  it("takes up a whole folder that was not written to its row", async () => {
    const model = await imported("Left");
    await test.services.db
      .update(models)
      .set({ status: "failed", reason: "The server ended." })
      .where(eq(models.id, model.id));
    await api().retry.mutate({ id: model.id });
    expect(await settled(model.id)).toMatchObject({ status: "ready", sha256: model.sha256 });
  });

  it("reads nothing outside the roots", async () => {
    const closed = await testServices({ FACET_IMPORT_ROOTS: "/nowhere" });
    const shut = await serveApi(closed.services);
    try {
      const other = createFacetClient({ url: shut.url }).api.models;
      const source = { kind: "folder" as const, path: at("given/tiny") };
      for (const refused of [other.preview.query({ source }), other.import.mutate({ source })]) {
        const error = await refused.catch((caught: unknown) => caught);
        expect(faultsOf(error)).toMatchObject([{ path: "path", message: expect.stringMatching(/outside/) }]);
      }
      expect((await other.list.query({})).total).toBe(0);
    } finally {
      await shut.close();
      await closed.close();
    }
  });
});

describe("importing from a hub", () => {
  const token = "hf_0123456789secret";

  it("shows its bytes, goes on where it was canceled, and keeps the token out of rows and answers", async () => {
    const names = await readdir(at("given/tiny"));
    const files = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(at(`given/tiny/${name}`))] as const)),
    );
    const hub = await startHub([{ type: "model", repo: "tests/tiny", files, gated: true, token }]);
    const own = await testServices({
      FACET_HUB_URL: hub.url,
      FACET_HUB_HOSTS: hub.cdn,
      FACET_HUB_TOKEN: token,
    });
    const api = await serveApi(own.services);
    try {
      const { models: hubModels } = createFacetClient({ url: api.url }).api;
      const source = { kind: "hub" as const, repo: "tests/tiny" };
      expect(await hubModels.preview.query({ source })).toMatchObject({ supported: true, gated: true });
      const slow = (request: HubRequest) =>
        request.path === "model.safetensors" && request.at === "cdn" ? { slow_ms: 100, piece: 4_096 } : null;
      hub.fault = slow;
      const { id } = await hubModels.import.mutate({ source });
      const size = files["model.safetensors"]!.byteLength;
      await until("bytes have come", async () => {
        const { progress } = await hubModels.get.query({ id });
        return progress?.stage === "copying" && progress.done > 4_096 && progress;
      });
      await hubModels.cancel.mutate({ id });
      expect(await hubModels.get.query({ id })).toMatchObject({ status: "failed" });
      hub.fault = () => null;
      const before = hub.requests.length;
      await hubModels.retry.mutate({ id });
      const model = await until("the import ends", async () => {
        const seen = await hubModels.get.query({ id });
        return seen.status !== "importing" && seen;
      });
      expect(model).toMatchObject({
        status: "ready",
        name: "tests/tiny",
        source: { ...source, revision: "main", commit: commitOf({ repo: "tests/tiny" }) },
      });
      const again = hub.requests
        .slice(before)
        .filter(({ at, path: file }) => at === "cdn" && file === "model.safetensors");
      const starts = again.map(({ range }) => Number(/^bytes=(\d+)-/.exec(range ?? "bytes=0-")?.[1]));
      expect(Math.max(...starts)).toBeGreaterThan(0);
      expect(Math.max(...starts)).toBeLessThan(size);
      const rows = await own.services.sql`select row_to_json(m)::text as row from models m`;
      expect(JSON.stringify([rows, model])).not.toContain(token);
      expect(hub.requests.some(({ authorization }) => authorization?.includes(token))).toBe(true);
    } finally {
      await api.close();
      await own.close();
      await hub.close();
    }
  });
});

describe("the list of models", () => {
  it("searches, sorts and pages", async () => {
    for (const name of ["listed b", "listed a", "listed c"]) await imported(name);
    const names = async (input: Parameters<ReturnType<typeof api>["list"]["query"]>[0]) =>
      (await api().list.query({ text: "LISTED", ...input })).items.map(({ name }) => name.at(-1));
    expect(await names({})).toEqual(["c", "a", "b"]);
    expect(await names({ sort: { by: "name", direction: "asc" } })).toEqual(["a", "b", "c"]);
    const first = await api().list.query({
      text: "listed",
      sort: { by: "parameters", direction: "desc" },
      limit: 2,
    });
    expect(first).toMatchObject({ total: 3, items: [{}, {}] });
    const rest = await api().list.query({
      text: "listed",
      sort: { by: "parameters", direction: "desc" },
      cursor: first.next_cursor,
    });
    expect(rest.items).toHaveLength(1);
    expect(await names({ status: ["failed"] })).toEqual([]);
  });
});

describe("deleting a model", () => {
  it("removes row and files, of a try that was cut off too", async () => {
    const model = await imported("Gone");
    await mkdir(at(`${model.path}.partial`));
    await api().delete.mutate({ id: model.id });
    await expect(api().get.query({ id: model.id })).rejects.toThrow(/There is no model/);
    await expect(access(at(model.path))).rejects.toThrow();
    await expect(access(at(`${model.path}.partial`))).rejects.toThrow();
  });
});

describe("the command line", () => {
  it("imports, lists, shows and deletes", async () => {
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
    const made = await facet("models", "import", at("given/tiny"), "--name", "By hand");
    expect(made.text).toMatch(/Imported “By hand”: gpt2, .* parameters/);
    const id = made.text.split("Id: ")[1]!;
    expect((await facet("models", "list", "--text", "by hand")).text).toContain("gpt2");
    expect((await facet("models", "show", id)).text).toContain("blocks.1.hook_resid_post");
    expect((await facet("models", "delete", id)).text).toBe("Deleted.");
    expect((await facet("models", "show", id)).code).toBe(1);
    expect(await readFile(at("given/tiny/config.json"), "utf8")).toContain("gpt2");
  });
});
