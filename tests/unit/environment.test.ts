import { mkdtempSync, rmSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { accessToken, EnvironmentError, environment, settings } from "../../server/environment.ts";

const home = mkdtempSync(path.join(os.tmpdir(), "facet-environment-"));
afterEach(() => rmSync(path.join(home, "token"), { force: true }));

describe("settings", () => {
  it("have the defaults of the table, also where a variable is empty", () => {
    const blank = Object.fromEntries(settings.map(({ name }) => [name, ""]));
    for (const variables of [{}, blank]) {
      expect(environment(variables)).toEqual({
        home: path.resolve(".facet"),
        host: "127.0.0.1",
        port: 3000,
        database_url: null,
        database: "embedded",
        adapter: null,
        token: null,
        sample: true,
        import_roots: null,
        upload_limit_bytes: 64 * 1024 ** 3,
        allowed_hosts: [],
        hub_url: "https://huggingface.co",
        hub_token: null,
        hub_hosts: null,
        download_limit_bytes: 64 * 1024 ** 3,
      });
    }
  });

  it("name every bad one at once, and never show a secret", () => {
    const bad = {
      PORT: "80 80",
      DATABASE_URL: "mysql://user:hunter2@host/db",
      FACET_TOKEN: "hunter2",
      FACET_SAMPLE: "maybe",
    };
    const error = (() => {
      try {
        environment(bad);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(EnvironmentError);
    const { message, faults } = error as EnvironmentError;
    expect(faults).toHaveLength(4);
    for (const name of Object.keys(bad)) expect(message).toContain(name);
    expect(message).not.toContain("hunter2");
  });
});

describe("the token", () => {
  it("is not needed on loopback, and is the given one where it is given", () => {
    expect(accessToken(environment({ FACET_HOME: home }))).toBeNull();
    expect(accessToken(environment({ FACET_HOME: home, HOST: "::1" }))).toBeNull();
    const given = "0123456789abcdef";
    expect(accessToken(environment({ FACET_HOME: home, FACET_TOKEN: given }))).toBe(given);
  });

  it("is made once on any other address, and kept for its owner only", () => {
    const env = environment({ FACET_HOME: home, HOST: "0.0.0.0" });
    const token = accessToken(env);
    expect(token).toMatch(/^[\w-]{32}$/);
    expect(accessToken(env)).toBe(token);
    expect(statSync(path.join(home, "token")).mode & 0o777).toBe(0o600);
  });
});
