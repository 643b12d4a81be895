import { HubError } from "./hub-error.ts";
import type { HubOptions } from "./hub-options.ts";
import { TransientError } from "./retries.ts";

/** An answer that is not what was asked for, in words. */
export function answerError(
  hub: HubOptions,
  url: URL,
  what: string,
  status: number,
  headers: Headers,
): HubError | TransientError {
  if (status === 429 || status === 408 || status >= 500) {
    const busy = status === 429 ? "takes no more requests for now" : `failed (${status})`;
    return new TransientError(
      new HubError("unavailable", `${url.host} ${busy}. Try again later.`),
      askedWait(headers, Date.now()),
    );
  }
  if (url.origin !== new URL(hub.url).origin) {
    // The addresses that a hub redirects to are valid for a while only; it gives a new one when asked again.
    return new TransientError(
      new HubError("unavailable", `${url.host}, where the hub keeps ${what}, refuses it (${status}).`),
    );
  }
  // Hugging Face's own word for the reason.
  const reason = headers.get("x-error-code");
  if (reason === "GatedRepo" || (status === 403 && reason === null)) return gated(hub, url, what);
  if (status === 401 || status === 403) return denied(hub, url, what, reason);
  if (status === 404) return missing(url, what, reason);
  return new HubError("bad_answer", `${url.host} answers ${status} when asked for ${what}.`);
}

function gated({ token }: HubOptions, url: URL, what: string): HubError {
  const next =
    token === null
      ? "Accept its terms on the hub and give a token of your account in FACET_HUB_TOKEN."
      : "Accept its terms on the hub with the account that FACET_HUB_TOKEN belongs to.";
  return new HubError("gated", `${url.host} does not give ${what}: it is gated. ${next}`);
}

function denied({ token }: HubOptions, url: URL, what: string, reason: string | null): HubError {
  // To strangers the hub says of a repository that does not exist what it says of a private one.
  if (token === null) {
    return new HubError(
      reason === "RepoNotFound" ? "not_found" : "denied",
      `${url.host} does not give ${what}: there is none of that name, or it is private. Check the name, or give a token in FACET_HUB_TOKEN.`,
    );
  }
  return new HubError(
    "denied",
    `${url.host} does not give ${what} for this token. Check that FACET_HUB_TOKEN is valid and may read it, and the name.`,
  );
}

function missing(url: URL, what: string, reason: string | null): HubError {
  const words =
    reason === "RevisionNotFound"
      ? `has no ${what}: there is no such revision. Name a branch, a tag or a commit that is there.`
      : `has no ${what}. Check the name.`;
  return new HubError("not_found", `${url.host} ${words}`);
}

/**
 * How long an answer asks to wait, in milliseconds: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), else the
 * rest of the window of `RateLimit: …;t=<seconds>`; null where it does not say.
 */
function askedWait(headers: Headers, now: number): number | null {
  const after = headers.get("retry-after")?.trim() ?? "";
  if (/^\d{1,9}$/.test(after)) return 1_000 * Number(after);
  const date = Date.parse(after);
  if (after !== "" && !Number.isNaN(date)) return Math.max(0, date - now);
  const rest = /;\s*t=(\d{1,9})\b/.exec(headers.get("ratelimit") ?? "")?.[1];
  return rest === undefined ? null : 1_000 * Number(rest);
}
