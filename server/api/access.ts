import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { Environment } from "../environment.ts";
import { AccessError } from "../errors.ts";

/** Name of the cookie that carries the token after a visit with `?token=`. */
export const tokenCookie = "facet_token";

export interface AccessRules {
  /** Null: none is asked for. */
  token: string | null;
  allowed_hosts: readonly string[];
}

export function accessRules(env: Environment, token: string | null): AccessRules {
  return { token, allowed_hosts: env.allowed_hosts };
}

export interface AccessRequest {
  method: string;
  headers: Headers;
}

/**
 * Guards pages, API and streams alike. Throws `AccessError`:
 * - 421 for a host name that is not this machine's. A hostile page can point its own name at our address (DNS
 *   rebinding) but cannot make the browser send ours, so an IP address, localhost and the machine's name pass;
 * - 403 for a write from another site's page: browsers name the page's origin in every such request;
 * - 401 without the token, where one is asked for: as Bearer or as the cookie.
 */
export function assertAccess(rules: AccessRules, request: AccessRequest): void {
  const host = request.headers.get("host");
  if (host === null || !isOwnHost(host, rules.allowed_hosts)) {
    throw new AccessError(
      421,
      `This server is not known as ${host ?? "a host without a name"}. Use its address, or add the name to FACET_ALLOWED_HOSTS.`,
    );
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    const origin = request.headers.get("origin");
    if (origin !== null && originHost(origin) !== host.toLowerCase()) {
      throw new AccessError(403, "This request comes from another site's page and is refused.");
    }
  }
  if (rules.token !== null && !carriesToken(request.headers, rules.token)) {
    throw new AccessError(
      401,
      "A token is needed: open the address with ?token=… that the server printed at its start, or send it as Bearer.",
    );
  }
}

/** Compares in a time that does not depend on where two secrets differ, nor on their lengths. */
export function sameSecret(given: string, secret: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(secret));
}

function carriesToken(headers: Headers, token: string): boolean {
  const bearer = /^Bearer\s+(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (bearer !== undefined) return sameSecret(bearer, token);
  const cookie = (headers.get("cookie") ?? "")
    .split(";")
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${tokenCookie}=`));
  return cookie !== undefined && sameSecret(cookie.slice(tokenCookie.length + 1), token);
}

function originHost(origin: string): string | null {
  try {
    return new URL(origin).host.toLowerCase();
  } catch {
    return null;
  }
}

function isOwnHost(header: string, allowed: readonly string[]): boolean {
  let name: string;
  try {
    name = new URL(`http://${header}`).hostname.toLowerCase();
  } catch {
    return false;
  }
  const bare = name.replace(/^\[|\]$/g, "");
  if (isIP(bare) !== 0) return true;
  const own = hostname().toLowerCase();
  return [...allowed, "localhost", own, `${own}.local`].includes(name);
}
