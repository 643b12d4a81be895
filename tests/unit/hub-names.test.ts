import { describe, expect, it } from "vitest";
import { environment } from "../../server/environment.ts";
import { HubError } from "../../server/hub/hub-error.ts";
import { hubOptions } from "../../server/hub/hub-options.ts";
import { checkRepository, checkRevision, isFilePath, isGitPath } from "../../server/hub/names.ts";

const token = "hf_0123456789secret";

describe("names of the hub", () => {
  it.each(["gpt2", "openai-community/gpt2", "EleutherAI/pythia-70m-deduped", "a/b.c_d-e", "01-ai/Yi-6B"])(
    "are taken for a repository: %s",
    (name) => expect(() => checkRepository(name)).not.toThrow(),
  );

  it.each([
    "",
    "/gpt2",
    "a/b/c",
    "../gpt2",
    "a/..",
    "a/b..c",
    "a/b--c",
    "a/.b",
    "a b",
    "a/b?c",
    "a/b#c",
    "a/%2e%2e",
    "a\\b",
    "a/b\n",
    "ä/b",
    "https://huggingface.co/gpt2",
    `a/${"b".repeat(97)}`,
  ])("are refused for a repository: %j", (name) => expect(() => checkRepository(name)).toThrow(HubError));

  it.each(["main", "v1.0", "refs/pr/12", "feature/x_y", "0".repeat(40)])(
    "are taken for a revision: %s",
    (name) => expect(() => checkRevision(name)).not.toThrow(),
  );

  it.each([
    "",
    "../main",
    "a/../b",
    "a..b",
    "a//b",
    "/a",
    "a/",
    "a?b",
    "a b",
    "-a",
    "a\n",
    "a%2f",
    "a@{1}",
    "a.lock",
  ])("are refused for a revision: %j", (name) => expect(() => checkRevision(name)).toThrow(HubError));

  it.each(["config.json", "data/train-00000-of-00001.parquet", "a b/ü.txt", ".gitattributes", "a..b"])(
    "are taken for a file: %s",
    (path) => expect([isFilePath(path), isGitPath(path)]).toEqual([true, true]),
  );

  it.each(["", "/etc/passwd", "../x", "a/../x", "a//b", "a/", "./a", "a/."])(
    "are of no file that a repository can hold: %j",
    (path) => expect([isFilePath(path), isGitPath(path)]).toEqual([false, false]),
  );

  it.each(["a\\b", "C:x", "a\0b", "a\nb", "\ud800", "a".repeat(241), `${"a/".repeat(600)}b`])(
    "are of a file that is not downloaded: %j",
    (path) => expect([isFilePath(path), isGitPath(path)]).toEqual([false, true]),
  );
});

describe("the hub's settings", () => {
  it("follow large files to where huggingface.co keeps them, and those of another hub nowhere", () => {
    expect(hubOptions(environment({}))).toMatchObject({
      url: "https://huggingface.co",
      token: null,
      hosts: ["*.hf.co", "*.huggingface.co"],
      limit_bytes: 64 * 1024 ** 3,
    });
    expect(hubOptions(environment({ FACET_HUB_URL: "https://hub.example/base/" }))).toMatchObject({
      url: "https://hub.example/base",
      hosts: [],
    });
    expect(hubOptions(environment({ FACET_HUB_HOSTS: "CDN.example:81, *.x.example" })).hosts).toEqual([
      "cdn.example:81",
      "*.x.example",
    ]);
  });

  it("take the token of Hugging Face's tools where there is no other", () => {
    expect(hubOptions(environment({ HF_TOKEN: token })).token).toBe(token);
    expect(hubOptions(environment({ HF_TOKEN: token, FACET_HUB_TOKEN: "other" })).token).toBe("other");
  });

  it("are refused where a token would break out of its header, and do not show it", () => {
    for (const name of ["FACET_HUB_TOKEN", "HF_TOKEN"]) {
      const read = () => environment({ [name]: `${token}\r\nHost: x` });
      expect(read).toThrow(name);
      expect(read).not.toThrow(token);
    }
  });

  it.each([
    "huggingface.co",
    "ftp://a",
    "https://user:secret@a",
    "https://a?b",
    "https://a/#b",
    "https://a b",
  ])("are refused for an address: %s", (url) => {
    expect(() => environment({ FACET_HUB_URL: url })).toThrow("FACET_HUB_URL");
    expect(() => environment({ FACET_HUB_URL: url })).not.toThrow("secret");
  });
});
