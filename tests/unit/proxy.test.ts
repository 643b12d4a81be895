import { NextRequest } from "next/server";
import { beforeAll, describe, expect, it, vi } from "vitest";

const token = "a-token-of-some-length";
let proxy: typeof import("../../proxy.ts")["proxy"];
beforeAll(async () => {
  vi.stubEnv("FACET_TOKEN", token);
  vi.stubEnv("HOST", "0.0.0.0");
  ({ proxy } = await import("../../proxy.ts"));
  vi.unstubAllEnvs();
});

const ask = (path: string, headers: Record<string, string> = {}) =>
  proxy(
    new NextRequest(`http://192.168.1.7:3000${path}`, {
      headers: { host: "192.168.1.7:3000", accept: "text/html", ...headers },
    }),
  );

describe("the proxy before pages", () => {
  it("shows a page of refusal to browsers and JSON to programs", async () => {
    const page = ask("/runs");
    expect(page.status).toBe(401);
    expect(page.headers.get("content-type")).toContain("text/html");
    const json = ask("/api/trpc/runs.list", { accept: "application/json" });
    expect(json.status).toBe(401);
    expect(await json.json()).toMatchObject({ error: { message: expect.stringContaining("token") } });
    expect(ask("/runs", { host: "evil.example" }).status).toBe(421);
  });

  it("turns the token in the address into a cookie and moves on without it", async () => {
    const visit = ask(`/runs?status=failed&token=${token}`);
    expect(visit.status).toBe(200);
    expect(await visit.text()).toContain('content="0;url=/runs?status=failed"');
    const cookie = visit.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/HttpOnly/i);
    expect(cookie).toMatch(/SameSite=strict/i);
    const pair = cookie.split(";")[0]!;
    expect(ask("/runs", { cookie: pair }).headers.get("x-middleware-next")).toBe("1");
  });

  it("takes no wrong token, and none by a foreign host name", () => {
    expect(ask("/?token=wrong").status).toBe(401);
    const foreign = ask(`/?token=${token}`, { host: "evil.example" });
    expect(foreign.status).toBe(421);
    expect(foreign.headers.get("set-cookie")).toBeNull();
  });

  it("cannot be made to write markup or leave the site", async () => {
    const visit = ask(`//evil.example/%22%3E%3Cscript%3E?token=${token}`);
    const text = await visit.text();
    expect(text).not.toContain("<script>");
    expect(text).not.toContain("url=//");
  });
});
