import { type NextRequest, NextResponse } from "next/server";
import { accessRules, assertAccess, sameSecret, tokenCookie } from "./server/api/access.ts";
import { accessToken, environment } from "./server/environment.ts";
import { AccessError } from "./server/errors.ts";

const env = environment();
const rules = accessRules(env, accessToken(env));

/**
 * Stands before every page and API route; the API checks once more by itself. Uploads are left out, since Next would
 * hold their bodies in memory and cut them at 10 MB for us: their handler does the same check. Health is open.
 */
export const config = { matcher: "/((?!api/activations$|api/datasets$|api/health$).*)" };

export function proxy(request: NextRequest): Response {
  const visited = visitWithToken(request);
  if (visited !== null) return visited;
  try {
    assertAccess(rules, request);
  } catch (error) {
    if (!(error instanceof AccessError)) throw error;
    return refusal(request, error);
  }
  return NextResponse.next();
}

/**
 * `?token=` becomes a cookie. The answer is a page that moves on by itself, not a redirect: after a click on another
 * site a browser would follow a redirect without the strict cookie just set.
 */
function visitWithToken(request: NextRequest): Response | null {
  const given = request.nextUrl.searchParams.get("token");
  if (rules.token === null || given === null || request.method !== "GET") return null;
  try {
    assertAccess({ ...rules, token: null }, request);
  } catch (error) {
    if (!(error instanceof AccessError)) throw error;
    return refusal(request, error);
  }
  if (!sameSecret(given, rules.token)) {
    return refusal(request, new AccessError(401, "The token in this address is not the server's."));
  }
  const clean = request.nextUrl.clone();
  clean.searchParams.delete("token");
  // One slash only: an address that begins with two names another host.
  const target = `/${clean.pathname.replace(/^[/\\]+/, "")}${clean.search}`;
  const response = new NextResponse(
    page("Facet", `<meta http-equiv="refresh" content="0;url=${escaped(target)}"><p>Opening Facet …</p>`),
    { headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" } },
  );
  response.cookies.set(tokenCookie, rules.token, {
    httpOnly: true,
    sameSite: "strict",
    path: "/",
    maxAge: 31_536_000,
  });
  return response;
}

function refusal(request: NextRequest, error: AccessError): Response {
  const headers = { "cache-control": "no-store" };
  if (!(request.headers.get("accept") ?? "").includes("text/html")) {
    return Response.json({ error: { message: error.message } }, { status: error.status, headers });
  }
  return new Response(page("Facet: no access", `<h1>No access</h1><p>${escaped(error.message)}</p>`), {
    status: error.status,
    headers: { ...headers, "content-type": "text/html; charset=utf-8" },
  });
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body>${body}</body></html>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
