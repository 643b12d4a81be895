import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Ended, facet } from "../gpu/facet-command.ts";
import { writeModelFolder } from "../gpu/model-folders.ts";
import { type HubServer, startHub } from "../reference/hub-server.ts";
import { randomModel } from "../reference/lm/random-model.ts";

const root = path.resolve(import.meta.dirname, "../..");
const token = "hf_0123456789secret";
/** A megabyte of weights, so that there is time to be cut off. */
const config = {
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  activation_function: "gelu_new",
  n_positions: 8,
  n_ctx: 8,
  n_embd: 64,
  n_layer: 4,
  n_head: 4,
  vocab_size: 1_000,
};

// Servers and processes take longer on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

let home: string;
let source: string;
let files: Record<string, Buffer>;
let server: HubServer;
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-model-command-"));
  source = await writeModelFolder(path.join(home, "source"), randomModel(config, 1), { shards: 2 });
  files = await filesOf(source);
});
afterAll(() => rm(home, { recursive: true, force: true }));
beforeEach(async () => {
  server = await startHub([
    { type: "model", repo: "tests/tiny", files },
    { type: "model", repo: "tests/gated", files, gated: true, token },
  ]);
  vi.stubEnv("FACET_HUB_URL", server.url);
  vi.stubEnv("FACET_HUB_HOSTS", server.cdn);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

async function filesOf(folder: string): Promise<Record<string, Buffer>> {
  const names = await readdir(folder);
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, name))] as const)),
  );
}

/** The folder holds the model's files, byte for byte, and what the import itself wrote. */
async function isWhole(folder: string): Promise<void> {
  const made = await filesOf(folder);
  expect(Object.keys(made).sort()).toEqual([...Object.keys(files), "facet-model.json"].sort());
  for (const [name, content] of Object.entries(files)) expect(content.equals(made[name]!)).toBe(true);
}

/** A process of its own, as the shell would start it. */
function started(...argv: string[]): { kill(signal: NodeJS.Signals): void; ended: Promise<Ended> } {
  const child = spawn(process.execPath, ["--import", "tsx", "server/cli/main.ts", ...argv], { cwd: root });
  const read = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    read.out += String(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    read.err += String(chunk);
  });
  return {
    kill: (signal) => child.kill(signal),
    ended: new Promise((resolve) => child.once("close", (code) => resolve({ code: code ?? -1, ...read }))),
  };
}

/** Bytes of the shard that is being downloaded. */
async function underWay(folder: string): Promise<number> {
  const sizes = Object.keys(files).map((name) =>
    stat(path.join(`${folder}.partial`, `${name}.part`)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return Math.max(...(await Promise.all(sizes)));
}

const slow = () => {
  server.fault = ({ at, range }) =>
    at === "cdn" && !/^bytes=0-\d+$/.test(range ?? "") ? { slow_ms: 25, piece: 10_000 } : null;
};

describe("facet model import", () => {
  it.each(["SIGKILL", "SIGINT"] as const)(
    "is ended half way by %s, and the same command ends with the files of the hub",
    async (signal) => {
      const out = path.join(home, signal);
      slow();
      const first = started("model", "import", "tests/tiny", "--out", out);
      await expect.poll(() => underWay(out), { timeout: 20_000, interval: 10 }).toBeGreaterThan(100_000);
      first.kill(signal);
      const { code, err } = await first.ended;
      expect(existsSync(out)).toBe(false);
      if (signal === "SIGINT") {
        expect(code).toBe(130);
        expect(err).toContain("The same command goes on from there.");
      }
      const kept = await underWay(out);
      expect(kept).toBeGreaterThan(100_000);
      server.fault = () => null;
      server.requests.length = 0;
      const second = await started("model", "import", "tests/tiny", "--out", out).ended;
      expect(second).toMatchObject({ code: 0, err: "" });
      await isWhole(out);
      expect(existsSync(`${out}.partial`)).toBe(false);
      const resumed = server.requests.find(
        ({ at, range }) => at === "cdn" && /^bytes=\d{6,}-$/.test(range ?? ""),
      );
      expect(resumed?.range).toBe(`bytes=${kept}-`);
    },
    60_000,
  );

  it("copies a folder, and prints what it made", async () => {
    const out = path.join(home, "copied");
    const { code, out: printed } = await facet("model", "import", source, "--out", out, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(printed)).toEqual(
      JSON.parse(await readFile(path.join(out, "facet-model.json"), "utf8")),
    );
    await isWhole(out);
    expect(await facet("model", "import", source, "--out", out)).toMatchObject({
      code: 2,
      err: expect.stringContaining("is there already"),
    });
    expect(await facet("model", "inspect", out)).toMatchObject({ code: 0 });
  });

  it("tells of a wait on the standard error, and of a gated model what to do", async () => {
    const out = path.join(home, "waited");
    server.fault = ({ path: file, before }) =>
      file === "config.json" && before === 0 ? { status: 429, headers: { "retry-after": "1" } } : null;
    const { code, err } = await facet("model", "import", "tests/tiny", "--out", out);
    expect([code, err]).toEqual([0, expect.stringContaining("Going on in 1 s.")]);
    vi.stubEnv("HF_TOKEN", "hf_0123wrong");
    const gated = await facet("model", "import", "tests/gated", "--out", path.join(home, "gated"));
    expect(gated).toMatchObject({ code: 2, err: expect.stringMatching(/gated.*FACET_HUB_TOKEN/) });
    vi.stubEnv("FACET_HUB_TOKEN", token);
    const given = await facet("model", "import", "tests/gated", "--out", path.join(home, "gated"));
    expect(given).toMatchObject({ code: 0 });
    expect(JSON.stringify([gated, given])).not.toContain("hf_0123");
  });

  it("is refused without --out, with a name that is none, or a revision of a folder", async () => {
    for (const [argv, words] of [
      [["tests/tiny"], "--out"],
      [["./none", "--out", home], "There is no folder ./none"],
      [["a/b/c", "--out", home], "There is no folder a/b/c"],
      [[source, "--revision", "main", "--out", path.join(home, "x")], "leave out --revision"],
      [["tests/tiny", "--revision", "../x", "--out", path.join(home, "x")], "is not a revision"],
    ] as const) {
      const { code, err } = await facet("model", "import", ...argv);
      expect([code, err]).toEqual([2, expect.stringContaining(words)]);
    }
  });
});

describe("facet model preview", () => {
  it("is refused where a setting is wrong, without showing it", async () => {
    vi.stubEnv("FACET_HUB_TOKEN", "hf_0123 with spaces");
    const { code, err } = await facet("model", "preview", "tests/tiny");
    expect([code, err]).toEqual([2, expect.stringContaining("FACET_HUB_TOKEN may hold only")]);
    expect(err).not.toContain("hf_0123");
  });

  it("describes a model of the hub by its headers, in words and as JSON", async () => {
    const { code, out } = await facet("model", "preview", "tests/tiny", "--revision", "v1");
    expect(code).toBe(0);
    expect(out).toMatch(/parameters +2\d\d,\d{3}\n.*layers +4\n.*width +64\n.*vocabulary +1000/s);
    expect(out).toMatch(/can be imported +yes/);
    const { out: printed } = await facet("model", "preview", source, "--json");
    expect(JSON.parse(printed)).toMatchObject({
      supported: true,
      tokenizer: false,
      source: { name: "source" },
    });
  });

  it("ends with 2 where a model cannot be imported, and says why", async () => {
    expect(await facet("model", "preview", "tests/gated")).toMatchObject({
      code: 2,
      out: expect.stringMatching(/can be imported +no\. .*gated/),
    });
  });
});
