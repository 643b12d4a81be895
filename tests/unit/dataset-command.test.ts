import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCommand } from "../../server/cli/commands.ts";
import type { DatasetManifest } from "../../server/datasets/manifest.ts";
import type { TokenSetManifest } from "../../server/tokens/manifest.ts";
import { tokenizerFolder } from "../reference/lm/tiny-tokenizers.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "facet-command-"));
  await writeFile(path.join(home, "texts.txt"), "one and two\n\nthree\n\nfour and one\n");
});
afterEach(() => rm(home, { recursive: true, force: true }));

const at = (name: string) => path.join(home, name);

async function facet(...argv: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCommand(argv, {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    terminal: false,
  });
  return { code, out, err };
}

describe("the command line of datasets", () => {
  it("imports, shows, searches and tokenizes, with one line of JSON where that is asked for", async () => {
    const imported = await facet("dataset", "import", at("texts.txt"), "--out", at("dataset"), "--json");
    expect(imported).toMatchObject({ code: 0, err: [] });
    expect((JSON.parse(imported.out[0]!) as DatasetManifest).n_documents).toBe(3);
    const shown = await facet("dataset", "show", at("dataset"), "--from", "1", "--limit", "1");
    expect(shown.out.slice(-2)).toEqual(["Document 1", "three"]);
    const found = await facet("dataset", "show", at("dataset"), "--search", "ONE");
    expect(found.out).toEqual([
      "0: one and two",
      "2: four and one",
      "2 found in 3 documents; there are no more.",
    ]);
    const model = await tokenizerFolder(at("model"));
    const tokenize = ["tokenize", "--dataset", at("dataset"), "--model", model, "--out", at("tokens")];
    const tokens = await facet(...tokenize, "--context-size", "5", "--remainder", "pad", "--json");
    expect(tokens).toMatchObject({ code: 0, err: [] });
    const manifest = JSON.parse(tokens.out[0]!) as TokenSetManifest & { already_done: boolean };
    expect(manifest).toMatchObject({ n_text_tokens: 28, already_done: false, options: { context_size: 5 } });
    const again = await facet(...tokenize, "--context-size", "5", "--remainder", "pad");
    expect(again.out[0]).toMatch(/holds the tokens of this very input already/);
    const other = await facet(...tokenize, "--context-size", "6");
    expect(other).toMatchObject({ code: 2, err: [expect.stringMatching(/name another folder/)] });
  });

  it("cuts at a separator, and names it in the manifest", async () => {
    const argv = [
      "dataset",
      "import",
      at("texts.txt"),
      "--out",
      at("dataset"),
      "--separator",
      "\\n\\n",
      "--json",
    ];
    const { out } = await facet(...argv);
    expect(JSON.parse(out[0]!)).toMatchObject({
      n_documents: 3,
      options: { split_on: { separator: "\n\n" } },
    });
  });

  it("says what is wrong by the options' names, and writes nothing", async () => {
    const many = await facet(
      ...[
        "dataset",
        "import",
        at("texts.txt"),
        "--split-on",
        "page",
        "--limit-documents",
        "x",
        "--split",
        "train",
      ],
    );
    expect(many.code).toBe(2);
    expect(many.err.map((line) => line.split(":")[0])).toEqual([
      "--out",
      "--split",
      "--split-on",
      "--limit-documents",
    ]);
    const zero = await facet(
      "dataset",
      "import",
      at("texts.txt"),
      "--out",
      at("d"),
      "--limit-documents",
      "0",
    );
    expect(zero).toMatchObject({ code: 2, err: [expect.stringMatching(/^--limit-documents: /)] });
    const none = await facet("dataset", "import", at("none.txt"), "--out", at("d"));
    expect(none).toMatchObject({ code: 2, err: [expect.stringMatching(/There is no file .*none\.txt/)] });
    const tokens = await facet("tokenize", "--bos", "everywhere");
    expect(tokens.code).toBe(2);
    expect(tokens.err.map((line) => line.split(":")[0])).toEqual(["--dataset", "--model", "--out", "--bos"]);
    expect(await readdir(home)).toEqual(["texts.txt"]);
  });
});
