import {
  createTRPCClient,
  httpBatchLink,
  httpSubscriptionLink,
  splitLink,
  TRPCClientError,
} from "@trpc/client";
import type { SetDescription } from "./activations/import.ts";
import type { AppRouter } from "./api/router.ts";
import type { Fault } from "./errors.ts";
import { eventSourceWith } from "./event-source.ts";
import type { WritableFormat } from "./formats/formats.ts";

export interface FacetClientOptions {
  /** Where the studio is, e.g. `http://127.0.0.1:3000`. */
  url: string;
  /** Needed where the server is not on loopback. */
  token?: string;
}

/** What is said of an uploaded file of texts; its name's ending says what it is. */
export interface DatasetUploadDescription {
  file_name: string;
  name?: string;
  text_column?: string;
  split_on?: "file" | "blank-line" | "line" | { separator: string };
  limit_documents?: number;
  limit_characters?: number;
}

/** What a server that refused an upload or a download says. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly status: number;
  readonly faults: Fault[];
  constructor(status: number, message: string, faults: Fault[]) {
    super(message);
    this.status = status;
    this.faults = faults;
  }
}

/**
 * A typed client of a Facet server for scripts, the command line and tests: `client.api.runs.list.query({…})`,
 * `client.api.runs.live.subscribe({ id }, { onData })`. Subscriptions resume by themselves after a cut.
 */
export function createFacetClient({ url, token }: FacetClientOptions) {
  const base = url.replace(/\/+$/, "");
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const api = createTRPCClient<AppRouter>({
    links: [
      splitLink({
        condition: (operation) => operation.type === "subscription",
        true: httpSubscriptionLink({ url: `${base}/api/trpc`, EventSource: eventSourceWith(headers) }),
        false: httpBatchLink({ url: `${base}/api/trpc`, headers, maxURLLength: 4_000 }),
      }),
    ],
  });
  return {
    api,
    /** An SAE's folder in a layout ("saelens", "facet", "sparsify"), as the stream of a zip file. Throws `RequestError`. */
    async downloadSae(id: string, format: WritableFormat = "saelens"): Promise<ReadableStream<Uint8Array>> {
      const response = await fetch(`${base}/api/saes/${encodeURIComponent(id)}?format=${format}`, {
        headers,
      });
      if (response.ok && response.body !== null) return response.body;
      throw refused(response.status, await response.json().catch(() => null));
    },
    /**
     * Sends a safetensors file and begins its import on the server. `bytes` may be a stream; then give its length,
     * so that the server can tell a broken upload from a whole one. Throws `RequestError`.
     */
    async uploadActivations(
      bytes: Blob | ReadableStream<Uint8Array>,
      description: SetDescription,
    ): Promise<{ id: string }> {
      return upload("PUT", "/api/activations", { ...description }, bytes);
    },
    /** The same of a file of texts. */
    async uploadDataset(
      bytes: Blob | ReadableStream<Uint8Array>,
      description: DatasetUploadDescription,
    ): Promise<{ id: string }> {
      const { split_on, ...plain } = description;
      const split = typeof split_on === "object" ? { separator: split_on.separator } : { split_on };
      return upload("POST", "/api/datasets", { ...plain, ...split }, bytes);
    },
  };

  async function upload(
    method: string,
    path: string,
    description: Record<string, string | number | undefined>,
    bytes: Blob | ReadableStream<Uint8Array>,
  ): Promise<{ id: string }> {
    const query = new URLSearchParams(
      Object.entries(description).flatMap(([key, value]) =>
        value === undefined ? [] : [[key, String(value)]],
      ),
    );
    const response = await fetch(`${base}${path}?${query}`, {
      method,
      headers: { ...headers, "content-type": "application/octet-stream" },
      body: bytes,
      ...(bytes instanceof Blob ? {} : { duplex: "half" as const }),
    });
    const answer: unknown = await response.json().catch(() => null);
    if (response.ok && isIdentified(answer)) return { id: answer.id };
    throw refused(response.status, answer);
  }
}

export type FacetClient = ReturnType<typeof createFacetClient>;

/** Everything that is wrong with what was sent, from an error of the client; empty for errors of other kinds. */
export function faultsOf(error: unknown): Fault[] {
  if (error instanceof RequestError) return error.faults;
  if (!(error instanceof TRPCClientError)) return [];
  const data: unknown = error.data;
  if (typeof data !== "object" || data === null || !("faults" in data) || !Array.isArray(data.faults))
    return [];
  return data.faults.filter(isFault);
}

function isFault(value: unknown): value is Fault {
  return typeof value === "object" && value !== null && "path" in value && "message" in value;
}

function isIdentified(value: unknown): value is { id: string } {
  return typeof value === "object" && value !== null && "id" in value && typeof value.id === "string";
}

function refused(status: number, answer: unknown): RequestError {
  const { message, faults } = refusalOf(answer) ?? { message: undefined, faults: [] };
  return new RequestError(status, message ?? `The server answered ${status}.`, faults);
}

function refusalOf(value: unknown): { message: string; faults: Fault[] } | null {
  if (typeof value !== "object" || value === null || !("error" in value)) return null;
  const { error } = value;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  const faults = "faults" in error && Array.isArray(error.faults) ? error.faults.filter(isFault) : [];
  return { message: String(error.message), faults };
}
