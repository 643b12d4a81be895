import { HubError } from "./hub-error.ts";
import type { HubOptions } from "./hub-options.ts";
import { answerError } from "./refusal.ts";
import { TransientError } from "./retries.ts";

const maxRedirects = 5;

/** An answer of the status 200 or 206. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /**
   * The body as it comes, once.
   * @throws TransientError where the connection breaks or nothing comes for too long
   */
  pieces(): AsyncGenerator<Uint8Array>;
  /** Ends the connection; does no harm after the body's end. */
  close(): void;
}

/**
 * One GET, redirects followed by hand to the hosts that are listed; the token goes to the hub alone.
 * @param what The thing asked for, as an error names it: `config.json of openai-community/gpt2`.
 * @throws HubError, TransientError where another try may go well, and the reason of `signal`
 */
export async function ask(
  hub: HubOptions,
  url: URL,
  what: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer> {
  let at = url;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const answer = await send(hub, at, headers, signal);
    if (answer.status === 200 || answer.status === 206) return answer;
    answer.close();
    if (![301, 302, 303, 307, 308].includes(answer.status)) {
      throw answerError(hub, at, what, answer.status, answer.headers);
    }
    at = redirected(hub, at, answer.headers.get("location"), what);
  }
  throw new HubError("bad_answer", `The hub redirects more than ${maxRedirects} times for ${what}.`);
}

async function send(
  hub: HubOptions,
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  const connection = new Connection(hub, url, signal);
  const own = url.origin === new URL(hub.url).origin;
  try {
    const response = await fetch(url, {
      redirect: "manual",
      signal: connection.signal,
      headers: {
        ...headers,
        // What is counted and hashed are the file's own bytes.
        "accept-encoding": "identity",
        "user-agent": "facet",
        ...(own && hub.token !== null ? { authorization: `Bearer ${hub.token}` } : {}),
      },
    });
    connection.heard();
    return {
      status: response.status,
      headers: response.headers,
      pieces: () => connection.pieces(response.body),
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw connection.failure(error);
  }
}

/** A connection that is given up when nothing comes for too long, or the work is called off. */
class Connection {
  readonly #abort = new AbortController();
  readonly #outer: AbortSignal;
  readonly #host: string;
  readonly #stallMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #cancel = () => this.#abort.abort();
  #stalled = false;

  constructor(hub: HubOptions, url: URL, outer: AbortSignal) {
    this.#outer = outer;
    this.#host = url.host;
    this.#stallMs = hub.patience.stall_ms;
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      this.#abort.abort();
    }, this.#stallMs);
    outer.addEventListener("abort", this.#cancel, { once: true });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  heard(): void {
    this.#timer.refresh();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener("abort", this.#cancel);
    this.#abort.abort();
  }

  async *pieces(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
    if (body === null) return;
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((error: unknown) => {
          throw this.failure(error);
        });
        if (done) return;
        this.heard();
        yield value;
      }
    } finally {
      this.close();
    }
  }

  /** What a failure of the connection is for the caller: being called off, or something that may go well later. */
  failure(error: unknown): unknown {
    if (this.#outer.aborted) return this.#outer.reason;
    const why = this.#stalled
      ? `sent nothing for ${this.#stallMs / 1_000} s`
      : `broke off (${codeOf(error)})`;
    const words = `The connection to ${this.#host} ${why}.`;
    return new TransientError(new HubError("unavailable", `${words} Check the network.`, error));
  }
}

/** What the system calls a failure of the network; the messages around it may hold signed addresses. */
function codeOf(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return "no reason given";
}

function redirected(hub: HubOptions, from: URL, location: string | null, what: string): URL {
  if (location === null || !URL.canParse(location, from)) {
    throw new HubError("bad_answer", `${from.host} redirects to no address for ${what}.`);
  }
  const to = new URL(location, from);
  const secure =
    to.protocol === "https:" || (to.protocol === "http:" && new URL(hub.url).protocol === "http:");
  if (!secure || to.username !== "" || to.password !== "") {
    throw new HubError(
      "redirected",
      `${from.host} redirects to ${to.protocol}//${to.host} for ${what}, which is not followed: only https without a user is.`,
    );
  }
  if (to.origin === new URL(hub.url).origin || hub.hosts.some((host) => matches(host, to.host))) return to;
  throw new HubError(
    "redirected",
    `${from.host} redirects to ${to.host} for ${what}, which is not among the hosts that are followed (${hub.hosts.join(", ") || "none"}). If you trust it, name it in FACET_HUB_HOSTS.`,
  );
}

/** @param pattern `host`, `host:port` or `*.domain`; without a port, that of the protocol. */
function matches(pattern: string, host: string): boolean {
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) : host === pattern;
}
