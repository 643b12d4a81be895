import { access, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ActivationSetView } from "../../server/activations/views.ts";
import { runCommand } from "../../server/cli/commands.ts";
import { createFacetClient } from "../../server/client.ts";
import { type TestServices, testServices } from "./api-server.ts";
import { type ApiServer, serveApi } from "./serve-api.ts";

let test: TestServices;
let server: ApiServer;
let home: string;
beforeAll(async () => {
  test = await testServices({ FACET_UPLOAD_LIMIT_BYTES: "100000" });
  server = await serveApi(test.services);
  home = test.services.env.home;
});
afterAll(async () => {
  await server.close();
  await test.close();
});
const client = () => createFacetClient({ url: server.url });

/** A safetensors file with F32 activations [rows, d_in] of x[i, j] = i + j / 10. */
function safetensors(
  rows: number,
  d_in: number,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const header = JSON.stringify({
    __metadata__: metadata,
    activations: { dtype: "F32", shape: [rows, d_in], data_offsets: [0, rows * d_in * 4] },
  });
  const head = new TextEncoder().encode(header.padEnd(Math.ceil(header.length / 8) * 8));
  const bytes = new Uint8Array(8 + head.length + rows * d_in * 4);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(head.length), true);
  bytes.set(head, 8);
  const values = Float32Array.from({ length: rows * d_in }, (_, i) => Math.floor(i / d_in) + (i % d_in) / 10);
  bytes.set(new Uint8Array(values.buffer), 8 + head.length);
  return bytes;
}

async function settled(id: string): Promise<ActivationSetView> {
  for (;;) {
    const set = await client().api.activationSets.get.query({ id });
    if (set.status !== "importing") return set;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("importing by path", () => {
  it("makes a set that a run can train on, and that cannot be deleted while it does", async () => {
    const file = path.join(home, "gpt2.safetensors");
    await writeFile(file, safetensors(100, 8, { model_name: "gpt2" }));
    const { api } = client();
    const { id } = await api.activationSets.import.mutate({
      path: file,
      hook_name: "blocks.3.hook_resid_post",
    });
    expect(await settled(id)).toMatchObject({
      name: "gpt2",
      status: "ready",
      hook_name: "blocks.3.hook_resid_post",
      model_name: "gpt2",
      n_tokens: 100,
      d_in: 8,
      source_dtype: "F32",
      tensor: "activations",
      bytes: 3_200,
      runs: 0,
    });
    const input = {
      name: "on gpt2",
      source: { kind: "activation_set" as const, activation_set_ids: [id] },
      config: { d_in: 16, d_sae: 32, k: 2 },
    };
    expect((await api.runs.check.query(input)).faults).toMatchObject([
      { path: "config.d_in", message: "d_in is 16, but the source's activations have width 8." },
    ]);
    const run = await api.runs.create.mutate({ ...input, config: { ...input.config, d_in: 8 } });
    expect((await api.runs.list.query({ model: "gpt2" })).items).toMatchObject([
      { id: run.id, hook_name: "blocks.3.hook_resid_post", source: { name: "gpt2" } },
    ]);
    await expect(api.activationSets.delete.mutate({ id })).rejects.toThrow("“gpt2” is used by “on gpt2”");
    await api.runs.control.mutate({ id: run.id, control: "cancel" });
    await access(path.join(home, "activation_sets", id, "manifest.json"));
    await api.activationSets.delete.mutate({ id });
    expect(await readdir(path.join(home, "activation_sets"))).toEqual([]);
    await expect(api.activationSets.get.query({ id })).rejects.toThrow(/no activation set/);
  });

  it("keeps the reason of a failed import, and the failed set can be deleted", async () => {
    const file = path.join(home, "broken.safetensors");
    await writeFile(file, safetensors(10, 4).slice(0, 60));
    const { id } = await client().api.activationSets.import.mutate({ path: file });
    const set = await settled(id);
    expect(set).toMatchObject({ status: "failed", n_tokens: null });
    expect(set.reason).toMatch(/broken\.safetensors/);
    expect(
      (
        await client().api.runs.check.query({
          name: "on broken",
          source: { kind: "activation_set", activation_set_ids: [id] },
          config: { d_in: 4, d_sae: 8, k: 1 },
        })
      ).faults,
    ).toMatchObject([{ path: "source.activation_set_ids.0" }]);
    await client().api.activationSets.delete.mutate({ id });
  });

  it("refuses what is no file, and what lies outside the roots, also through a link", async () => {
    const { api } = client();
    for (const wrong of ["relative.safetensors", path.join(home, "nowhere"), home]) {
      await expect(api.activationSets.import.mutate({ path: wrong })).rejects.toMatchObject({
        data: { code: "BAD_REQUEST", faults: [{ path: "path" }] },
      });
    }
    const fenced = await testServices({ HOST: "0.0.0.0", FACET_TOKEN: "0123456789abcdefghij" });
    const open = await serveApi(fenced.services);
    try {
      const other = createFacetClient({ url: open.url, token: "0123456789abcdefghij" }).api.activationSets;
      const imports = path.join(fenced.services.env.home, "imports");
      await mkdir(imports);
      await symlink("/etc/passwd", path.join(imports, "link"));
      for (const wrong of [
        "/etc/passwd",
        path.join(imports, "link"),
        path.join(imports, "../token"),
        "/no/such/file",
      ]) {
        await expect(other.import.mutate({ path: wrong })).rejects.toThrow(/lies outside the folders/);
      }
      await writeFile(path.join(imports, "ok.safetensors"), safetensors(4, 4));
      await other.import.mutate({ path: path.join(imports, "ok.safetensors") });
    } finally {
      await open.close();
      await fenced.close();
    }
  });
});

describe("uploading", () => {
  it("streams the body, imports it and leaves no upload behind", async () => {
    const { id } = await client().uploadActivations(new Blob([safetensors(50, 8)]), {
      name: "uploaded",
      hook_name: "blocks.0.hook_mlp_out",
    });
    expect(await settled(id)).toMatchObject({ name: "uploaded", status: "ready", n_tokens: 50 });
    await expect.poll(() => readdir(path.join(home, "uploads"))).toEqual([]);
  });

  it("refuses bodies over the limit, bad descriptions and broken bodies, and keeps nothing of them", async () => {
    await expect(client().uploadActivations(new Blob([new Uint8Array(100_001)]), {})).rejects.toMatchObject({
      status: 413,
    });
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(10_000)),
    });
    await expect(client().uploadActivations(endless, {})).rejects.toThrow();
    await expect(
      client().uploadActivations(new Blob(["x"]), { hook_name: "../../etc" }),
    ).rejects.toMatchObject({ status: 400, faults: [{ path: "hook_name" }] });
    await expect.poll(() => readdir(path.join(home, "uploads"))).toEqual([]);
  });
});

describe("the command line", () => {
  it("imports by path, by upload, and lists", async () => {
    const file = path.join(home, "cli.safetensors");
    await writeFile(file, safetensors(20, 4));
    const lines: string[] = [];
    const facet = (...argv: string[]) =>
      runCommand([...argv, "--url", server.url], {
        out: (line) => lines.push(line),
        err: (line) => lines.push(`error: ${line}`),
        terminal: false,
      });
    expect(await facet("activations", "import", file, "--name", "by path")).toBe(0);
    expect(await facet("activations", "import", file, "--name", "by upload", "--upload")).toBe(0);
    expect(lines.join("\n")).toMatch(/Imported “by upload”: 20 tokens of width 4 \(F32\)/);
    lines.length = 0;
    expect(await facet("activations", "list", "--text", "by ")).toBe(0);
    expect(lines).toHaveLength(3);
    expect(await facet("activations", "import", path.join(home, "no-such-file"))).toBe(1);
  });
});

describe("the list of sets", () => {
  it("pages and filters", async () => {
    const { api } = client();
    const all = await api.activationSets.list.query({});
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof api.activationSets.list.query>> =
        await api.activationSets.list.query({ limit: 1, cursor });
      seen.push(...page.items.map((set) => set.id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(all.items.map((set) => set.id));
    expect(all.total).toBe(seen.length);
    expect((await api.activationSets.list.query({ text: "mlp_out" })).items).toHaveLength(1);
  });
});
