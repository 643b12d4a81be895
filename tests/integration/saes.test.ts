import { access, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evaluateSae } from "../../gpu/metrics/evaluate-sae.ts";
import { openStoredRows } from "../../server/activations/rows.ts";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient } from "../../server/client.ts";
import { readSaeFolder } from "../../server/formats/sae-folder.ts";
import { openZip } from "../../server/formats/zip.ts";
import type { SaeDetail } from "../../server/saes/views.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { type Program, until } from "./processes.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";
import { tinySae, tinySaeFolder, tinySet } from "./tiny-saes.ts";
import { startWorker } from "./worker-runs.ts";

let test: TestServices;
let server: ApiServer;
let home: string;
beforeAll(async () => {
  test = await testServices();
  server = await serveApi(test.services);
  home = test.services.env.home;
});
afterAll(async () => {
  await server.close();
  await test.close();
});
const api = () => createFacetClient({ url: server.url }).api.saes;

async function imported(folder: string, name?: string): Promise<SaeDetail> {
  const { id } = await api().import.mutate({ path: folder, ...(name === undefined ? {} : { name }) });
  return until("the SAE is imported", async () => {
    const sae = await api().get.query({ id });
    return sae.status !== "importing" && sae;
  });
}

async function folderOf(name: string, given: Parameters<typeof tinySaeFolder>[1] = {}) {
  const folder = path.join(home, "theirs", name);
  const sae = await tinySaeFolder(folder, given);
  return { folder, sae };
}

describe("importing", () => {
  it("takes a folder by path, with what it says of itself and how its features are spread", async () => {
    const { folder } = await folderOf("plain");
    const sae = await imported(folder);
    expect(sae).toMatchObject({
      name: "plain",
      status: "ready",
      run: null,
      origin: folder,
      format: "saelens",
      architecture: "standard",
      hook_name: "blocks.0.hook_resid_post",
      model_name: "gpt2",
      d_in: 4,
      d_out: 4,
      d_sae: 8,
      l0: null,
      fvu: null,
      needed_sets: [{ name: "activation set", width: 4, hook_name: "blocks.0.hook_resid_post" }],
    });
    expect(sae.histograms?.frequency).toMatchObject({ silent: 2, from: -2, to: 0 });
    expect(sae.histograms?.frequency?.counts.reduce((sum, n) => sum + n)).toBe(6);
    expect(sae.histograms?.decoder_norm.counts.reduce((sum, n) => sum + n)).toBe(8);
    const own = await readSaeFolder(path.join(home, sae.path));
    expect(own.sae.tensors.W_enc?.data).toEqual(tinySae().tensors.W_enc?.data);
  });

  it("says what a path holds before, and refuses what is no SAE", async () => {
    const { folder } = await folderOf("looked-at", { activation: "jumprelu" });
    expect(await api().inspect.query({ path: folder })).toMatchObject({
      kind: "sae",
      format: "saelens",
      config: { activation: "jumprelu", d_sae: 8 },
      parameters: 4 * 8 + 8 + 8 + 8 * 4 + 4,
    });
    const empty = path.join(home, "theirs", "empty");
    await mkdir(empty, { recursive: true });
    for (const wrong of [empty, path.join(home, "nowhere"), "relative"]) {
      await expect(api().import.mutate({ path: wrong })).rejects.toMatchObject({
        data: { code: "BAD_REQUEST", faults: [{ path: "path" }] },
      });
    }
    const set = await tinySet(test.services, "not an sae");
    await expect(api().import.mutate({ path: path.join(home, "activation_sets", set) })).rejects.toThrow(
      "is an activation set",
    );
  });

  it("keeps the reason of an import that fails, and leaves no files", async () => {
    const { folder } = await folderOf("cut");
    const weights = path.join(folder, "sae_weights.safetensors");
    const whole = await readFile(weights);
    const header = whole.readBigUInt64LE(0);
    // NaN in the weights: the header is right, so only the import finds out.
    whole.writeFloatLE(Number.NaN, Number(header) + 8);
    await writeFile(weights, whole);
    const sae = await imported(folder, "not a number");
    expect(sae).toMatchObject({ name: "not a number", status: "failed" });
    expect(sae.reason).toMatch(/finite|NaN/);
    await expect(access(path.join(home, sae.path))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(api().export.mutate({ id: sae.id, format: "saelens" })).rejects.toThrow("The import of");
    await api().delete.mutate({ id: sae.id });
  });

  it("reads nothing outside the roots, nor through a link", async () => {
    const fenced = await testServices({ HOST: "0.0.0.0", FACET_TOKEN: "0123456789abcdefghij" });
    const open = await serveApi(fenced.services);
    try {
      const other = createFacetClient({ url: open.url, token: "0123456789abcdefghij" }).api.saes;
      const { folder } = await folderOf("outside");
      const imports = path.join(fenced.services.env.home, "imports");
      await mkdir(imports);
      await symlink(folder, path.join(imports, "link"));
      for (const wrong of [folder, path.join(imports, "link"), `${imports}/../token`]) {
        await expect(other.inspect.query({ path: wrong })).rejects.toThrow("lies outside the folders");
        await expect(other.import.mutate({ path: wrong })).rejects.toThrow("lies outside the folders");
      }
      const { status } = await fetch(`${open.url}/api/saes/019ab000-0000-7000-8000-000000000000`);
      expect(status).toBe(401);
    } finally {
      await open.close();
      await fenced.close();
    }
  });
});

describe("the list", () => {
  it("searches, filters, sorts and pages", async () => {
    const names = ["alpha", "Beta", "gamma"];
    for (const name of names) {
      const { folder } = await folderOf(`list-${name}`, name === "gamma" ? { activation: "jumprelu" } : {});
      await imported(folder, `listed ${name}`);
    }
    const list = async (input: object) =>
      (await api().list.query({ text: "listed", ...input })).items.map(({ name }) => name.split(" ")[1]);
    expect(await list({ sort: { by: "name", direction: "asc" } })).toEqual(names);
    expect(await list({ kind: "trained" })).toEqual([]);
    expect(await list({ kind: "imported", text: "gamma" })).toEqual(["gamma"]);
    for (const by of ["created_at", "name", "fvu", "l0"] as const) {
      const sort = { by, direction: "desc" as const };
      const whole = await list({ sort });
      const first = await api().list.query({ text: "listed", sort, limit: 2 });
      const second = await api().list.query({ text: "listed", sort, limit: 2, cursor: first.next_cursor });
      expect([...first.items, ...second.items].map(({ name }) => name.split(" ")[1])).toEqual(whole);
      expect(first.total).toBe(3);
    }
  });
});

describe("exporting", () => {
  it("writes a folder on the server, and refuses what a layout cannot express", async () => {
    const { folder } = await folderOf("exported");
    const sae = await imported(folder);
    expect(sae.exports).toMatchObject([
      { format: "saelens", refusal: null },
      { format: "facet", refusal: null },
      { format: "sparsify", refusal: expect.stringContaining("TopK") },
    ]);
    const first = await api().export.mutate({ id: sae.id, format: "saelens" });
    expect(first.path).toContain(path.join(home, "exports", "exported-"));
    expect(first.sha256).toBe(sae.sha256);
    expect(await api().export.mutate({ id: sae.id, format: "saelens" })).toEqual(first);
    expect((await readSaeFolder(first.path)).sae.config.d_sae).toBe(8);
    await expect(api().export.mutate({ id: sae.id, format: "sparsify" })).rejects.toThrow("TopK");
  });

  it("streams a zip file that holds the very bytes, and cleans up after it", async () => {
    const { folder } = await folderOf("downloaded");
    const sae = await imported(folder, "Ünsafe / name");
    const response = await fetch(`${server.url}/api/saes/${sae.id}?format=saelens`);
    expect(response.headers.get("content-disposition")).toMatch(
      /filename="nsafe_name-[0-9a-f]{8}-saelens\.zip"/,
    );
    const zip = Buffer.from(await response.arrayBuffer());
    expect(zip.length).toBe(Number(response.headers.get("content-length")));
    const file = path.join(home, "downloaded.zip");
    await writeFile(file, zip);
    const archive = await openZip(file);
    try {
      const names = [...archive.entries.keys()].map((name) => path.basename(name));
      expect(names).toEqual([
        "cfg.json",
        "runner_cfg.json",
        "sae_weights.safetensors",
        "sparsity.safetensors",
      ]);
      for (const [name, entry] of archive.entries) {
        const own = await readFile(path.join(home, sae.path, path.basename(name)));
        expect(Buffer.from(await entry.read()).equals(own)).toBe(true);
      }
    } finally {
      await archive.close();
    }
    await until(
      "the folder of the download is gone",
      async () => (await readdir(path.join(home, "downloads"))).length === 0,
    );
  });

  it("answers in JSON what cannot be had", async () => {
    const missing = await fetch(`${server.url}/api/saes/019ab000-0000-7000-8000-000000000000`);
    expect(missing.status).toBe(404);
    expect(await missing.json()).toMatchObject({
      error: { message: expect.stringContaining("There is no SAE") },
    });
    const wrong = await fetch(`${server.url}/api/saes/nonsense?format=tar`);
    expect(wrong.status).toBe(400);
  });
});

describe("deleting", () => {
  it("removes rows and files of an imported one", async () => {
    const { folder } = await folderOf("doomed");
    const sae = await imported(folder);
    await api().delete.mutate({ id: sae.id });
    await expect(access(path.join(home, sae.path))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(api().get.query({ id: sae.id })).rejects.toThrow("There is no SAE");
    await access(folder);
  });
});

describe("evaluating", () => {
  let worker: Program;
  beforeAll(() => {
    worker = startWorker(test);
  });
  afterAll(async () => {
    worker.signal("SIGTERM");
    expect(await worker.ended).toBe(0);
  });

  const evaluated = (id: string, evaluation: string) =>
    until("the evaluation ends", async () => {
      const { evaluations } = await api().get.query({ id });
      const found = evaluations.find((one) => one.id === evaluation);
      return (found?.status === "done" || found?.status === "failed") && found;
    });

  it("is done by a worker, and comes to what the library says", async () => {
    const { folder, sae: weights } = await folderOf("measured");
    const sae = await imported(folder);
    const set = await tinySet(test.services, "measured-on");
    const { id } = await api().evaluate.mutate({ id: sae.id, activation_set_ids: [set], tokens: 48 });
    const done = await evaluated(sae.id, id);
    expect(done).toMatchObject({
      status: "done",
      progress: 1,
      sets: [{ id: set, name: "measured-on", n_tokens: 64, d_in: 4 }],
      tokens: 48,
    });
    const stored = await openStoredRows(home, [set]);
    const own = await evaluateSae({ sae: weights, input: stored.rows, tokens: 48 });
    await stored.close();
    expect(done.result).toMatchObject({ tokens: 48, firing: { l0: own.firing.l0 } });
    expect(done.result?.reconstruction).toEqual(own.reconstruction);
    const listed = await api().get.query({ id: sae.id });
    expect(listed.fvu).toBeCloseTo(own.reconstruction.fvu ?? 0, 12);
    expect(listed.l0).toBeCloseTo(own.firing.l0, 12);
  });

  it("measures a transcoder on its target, and a crosscoder on hook points side by side", async () => {
    const input = await tinySet(test.services, "in");
    const target = await tinySet(test.services, "out", { d_in: 6, shift: 3 });
    const other = await tinySet(test.services, "other", { shift: 5 });
    const transcoder = await folderOf("transcoder", { transcoder: true, d_out: 6 });
    const sae = await imported(transcoder.folder);
    expect(sae.needed_sets).toEqual([
      { name: "input", width: 4, hook_name: "blocks.0.hook_resid_post" },
      { name: "target", width: 6, hook_name: null },
    ]);
    const { id } = await api().evaluate.mutate({ id: sae.id, activation_set_ids: [input, target] });
    const rows = await Promise.all([input, target].map((one) => openStoredRows(home, [one])));
    const own = await evaluateSae({
      sae: transcoder.sae,
      input: rows[0]!.rows,
      target: rows[1]!.rows,
    });
    await Promise.all(rows.map((one) => one.close()));
    expect((await evaluated(sae.id, id)).result?.reconstruction).toEqual(own.reconstruction);

    const crosscoder = await folderOf("crosscoder", { n_hook_points: 2, d_in: 8, d_out: 8 });
    const cross = await imported(crosscoder.folder);
    expect(cross).toMatchObject({ format: "facet", architecture: "crosscoder", d_in: 8 });
    const second = await api().evaluate.mutate({ id: cross.id, activation_set_ids: [input, other] });
    expect(await evaluated(cross.id, second.id)).toMatchObject({ status: "done" });
  });

  it("refuses sets that do not fit, in full sentences", async () => {
    const { folder } = await folderOf("picky", { transcoder: true, d_out: 6 });
    const sae = await imported(folder);
    const narrow = await tinySet(test.services, "narrow");
    const short = await tinySet(test.services, "short", { n_tokens: 32, d_in: 6 });
    const ask = (activation_set_ids: string[]) => api().evaluate.mutate({ id: sae.id, activation_set_ids });
    await expect(ask([narrow])).rejects.toThrow(
      "This SAE is evaluated on 2 activation sets (input and target); 1 is given.",
    );
    await expect(ask([narrow, narrow])).rejects.toThrow("has width 4, but the SAE's target has width 6.");
    await expect(ask([narrow, short])).rejects.toThrow("has 32 rows, but “narrow” has 64");
    await expect(ask([narrow, "019ab000-0000-7000-8000-000000000000"])).rejects.toThrow("does not exist");
  });

  it("keeps why it failed, and can be deleted", async () => {
    const { folder } = await folderOf("broken later");
    const sae = await imported(folder);
    const set = await tinySet(test.services, "for the broken");
    await rm(path.join(home, sae.path, "sae_weights.safetensors"));
    const { id } = await api().evaluate.mutate({ id: sae.id, activation_set_ids: [set] });
    const failed = await evaluated(sae.id, id);
    expect(failed.reason).toContain("There is no file");
    await api().deleteEvaluation.mutate({ id });
    expect((await api().get.query({ id: sae.id })).evaluations).toEqual([]);
  });

  it("is ended when it is deleted; until then set and SAE stay", async () => {
    const { folder } = await folderOf("long", { d_in: 256, d_out: 256, d_sae: 2_048 });
    const sae = await imported(folder);
    const set = await tinySet(test.services, "many", { n_tokens: 16_384, d_in: 256 });
    const { id } = await api().evaluate.mutate({ id: sae.id, activation_set_ids: [set] });
    await until("it is under way", async () => {
      const [one] = (await api().get.query({ id: sae.id })).evaluations;
      return one?.status === "running" && one.progress > 0;
    });
    const { activationSets } = createFacetClient({ url: server.url }).api;
    await expect(activationSets.delete.mutate({ id: set })).rejects.toThrow("is being evaluated on");
    await expect(api().delete.mutate({ id: sae.id })).rejects.toThrow("is being evaluated");
    await api().deleteEvaluation.mutate({ id });
    await activationSets.delete.mutate({ id: set });
    await api().delete.mutate({ id: sae.id });
  });
});

describe("the command line", () => {
  async function facet(...words: string[]) {
    const lines: string[] = [];
    const write = (line: string) => {
      lines.push(line);
    };
    const code = await runCommand([...words, "--url", server.url], {
      out: write,
      err: write,
      terminal: false,
    });
    return { code, text: lines.join("\n") };
  }

  it("imports, lists, shows, downloads and deletes", async () => {
    const { folder } = await folderOf("by hand");
    const made = await facet("saes", "import", folder, "--name", "by hand");
    expect(made.text).toMatch(/^Imported “by hand”: standard, 4 → 8 \(saelens\)\. Id: /);
    const id = made.text.split("Id: ")[1]!;
    expect((await facet("saes", "list", "--text", "by hand")).text).toContain("4 → 8");
    expect((await facet("saes", "show", id)).text).toContain("blocks.0.hook_resid_post");
    const zip = path.join(home, "by-hand.zip");
    expect(await facet("saes", "download", id, "--out", zip)).toMatchObject({ code: 0 });
    await access(zip);
    expect((await facet("saes", "download", id, "--format", "tar")).code).toBe(2);
    expect((await facet("saes", "delete", id)).text).toBe("Deleted.");
    expect((await facet("saes", "show", id)).code).toBe(1);
  });
});
