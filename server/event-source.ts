/**
 * Server-sent events over fetch, in the shape tRPC's subscription link asks for (WHATWG HTML, section 9.2). Node 20
 * has no EventSource of its own, and the browser's cannot send an Authorization header. It reconnects by itself with
 * the last event id, as browsers do, and gives up only when the server refuses.
 */

type Listener = (event: object) => void;

const defaultRetryMs = 1_000;

export interface EventSourceInit {
  withCredentials?: boolean;
}

/** The class of sources that send `headers` with every connection. */
export function eventSourceWith(headers: Record<string, string>) {
  return class FetchEventSource {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSED = 2;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSED = 2;
    readyState = 0;
    readonly #url: string;
    readonly #listeners = new Map<string, Set<Listener>>();
    readonly #abort = new AbortController();
    #lastEventId = "";
    #retryMs = defaultRetryMs;

    constructor(url: string, _init?: EventSourceInit) {
      this.#url = url;
      void this.#run();
    }

    addEventListener(type: string, listener: Listener): void {
      const group = this.#listeners.get(type) ?? new Set();
      this.#listeners.set(type, group.add(listener));
    }

    removeEventListener(type: string, listener: Listener): void {
      this.#listeners.get(type)?.delete(listener);
    }

    close(): void {
      this.readyState = this.CLOSED;
      this.#abort.abort();
    }

    #dispatch(type: string, event: object): void {
      for (const listener of this.#listeners.get(type) ?? []) listener(event);
    }

    async #run(): Promise<void> {
      while (this.readyState !== this.CLOSED) {
        const problem = await this.#connect();
        // `close` runs in the listeners of the events just read.
        if (this.#abort.signal.aborted) return;
        if (problem !== null) {
          this.readyState = this.CLOSED;
          this.#dispatch("error", { type: "error", message: problem });
          return;
        }
        this.readyState = this.CONNECTING;
        this.#dispatch("error", { type: "error", message: "The connection was cut; connecting again." });
        await new Promise((resolve) => setTimeout(resolve, this.#retryMs));
      }
    }

    /** Reads one connection to its end. Returns why there is no point in another, or null. */
    async #connect(): Promise<string | null> {
      try {
        const response = await fetch(this.#url, {
          headers: {
            accept: "text/event-stream",
            ...headers,
            ...(this.#lastEventId === "" ? {} : { "last-event-id": this.#lastEventId }),
          },
          signal: this.#abort.signal,
          cache: "no-store",
        });
        const type = response.headers.get("content-type") ?? "";
        if (response.status >= 500) return null;
        if (!response.ok || !type.startsWith("text/event-stream") || response.body === null) {
          return `The server answered ${response.status} instead of a stream: ${(await response.text()).slice(0, 500)}`;
        }
        this.readyState = this.OPEN;
        this.#dispatch("open", { type: "open" });
        await this.#read(response.body);
        return null;
      } catch {
        // The server is away or the connection broke: that is what reconnecting is for.
        return null;
      }
    }

    async #read(body: ReadableStream<Uint8Array>): Promise<void> {
      const decoder = new TextDecoder();
      let rest = "";
      let type = "";
      let data: string[] = [];
      // Counts only once its event is whole: after a cut in between, the event must come again.
      let id = this.#lastEventId;
      for await (const chunk of body) {
        rest += decoder.decode(chunk, { stream: true });
        const lines = rest.split(/\r\n|\n|\r(?!$)/);
        rest = lines.pop() ?? "";
        for (const line of lines) {
          if (line === "") {
            this.#lastEventId = id;
            if (data.length > 0) {
              const name = type === "" ? "message" : type;
              this.#dispatch(name, {
                type: name,
                data: data.join("\n"),
                lastEventId: this.#lastEventId,
              });
            }
            type = "";
            data = [];
            continue;
          }
          const colon = line.indexOf(":");
          if (colon === 0) continue;
          const field = colon < 0 ? line : line.slice(0, colon);
          const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (field === "data") data.push(value);
          else if (field === "event") type = value;
          else if (field === "id" && !value.includes("\0")) id = value;
          else if (field === "retry" && /^\d+$/.test(value)) this.#retryMs = Number(value);
        }
      }
    }
  };
}
