import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { type AccessRules, assertAccess, sameSecret } from "../../server/api/access.ts";
import { AccessError } from "../../server/errors.ts";

const token = "a-token-of-some-length";
const open: AccessRules = { token: null, allowed_hosts: ["facet.example"] };
const guarded: AccessRules = { ...open, token };

function answer(rules: AccessRules, headers: Record<string, string>, method = "GET"): number {
  try {
    assertAccess(rules, { method, headers: new Headers({ host: "127.0.0.1:3000", ...headers }) });
    return 200;
  } catch (error) {
    if (error instanceof AccessError) return error.status;
    throw error;
  }
}

describe("access", () => {
  it("takes the machine's own names and addresses, and no other, against DNS rebinding", () => {
    const hosts = {
      "127.0.0.1:3000": 200,
      "localhost:3000": 200,
      "[::1]:3000": 200,
      "192.168.1.7": 200,
      [hostname()]: 200,
      "facet.example:8080": 200,
      "evil.example": 421,
      "localhost.evil.example": 421,
      "127.0.0.1.evil.example": 421,
      "": 421,
    };
    for (const [host, status] of Object.entries(hosts)) expect(answer(open, { host }), host).toBe(status);
  });

  it("takes writes from its own pages and from programs, not from other sites' pages", () => {
    expect(answer(open, {}, "POST")).toBe(200);
    expect(answer(open, { origin: "http://127.0.0.1:3000" }, "POST")).toBe(200);
    for (const origin of ["http://evil.example", "http://127.0.0.1:4000", "null", "nonsense"]) {
      expect(answer(open, { origin }, "POST"), origin).toBe(403);
      expect(answer(open, { origin }, "PUT"), origin).toBe(403);
    }
    expect(answer(open, { origin: "http://evil.example" }, "GET")).toBe(200);
  });

  it("asks for the token as Bearer or cookie where there is one", () => {
    expect(answer(guarded, {})).toBe(401);
    expect(answer(guarded, { authorization: `Bearer ${token}` })).toBe(200);
    expect(answer(guarded, { authorization: `bearer ${token}` })).toBe(200);
    expect(answer(guarded, { cookie: `a=b; facet_token=${token}; c=d` })).toBe(200);
    for (const wrong of [`Bearer ${token}x`, "Bearer ", "Basic x", token]) {
      expect(answer(guarded, { authorization: wrong }), wrong).toBe(401);
    }
    expect(answer(guarded, { cookie: `facet_token=${token}x` })).toBe(401);
    expect(answer(guarded, { cookie: `xfacet_token=${token}` })).toBe(401);
  });

  it("compares secrets of any lengths", () => {
    expect(sameSecret(token, token)).toBe(true);
    expect(sameSecret("", token)).toBe(false);
    expect(sameSecret(`${token}${token}`, token)).toBe(false);
  });
});
