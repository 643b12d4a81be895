import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { Readable } from "node:stream";
import { ReadableStream as NodeReadableStream } from "node:stream/web";
import {
  apiPath,
  handleDatasetUpload,
  handleDownload,
  handleHealth,
  handleReady,
  handleTrpc,
  handleUpload,
} from "../../server/api/handlers.ts";
import type { Services } from "../../server/services.ts";

export interface ApiServer {
  url: string;
  /** Cuts every connection as a broken network does; later ones work again. */
  cut(): void;
  close(): Promise<void>;
}

/** The API over real HTTP, without Next; on a port of its own where none is given. */
export async function serveApi(services: Services, port = 0): Promise<ApiServer> {
  const sockets = new Set<Socket>();
  const server = createServer((incoming, outgoing) => {
    void answer(services, incoming, outgoing).catch((error: unknown) => {
      outgoing.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}

async function answer(
  services: Services,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const controller = new AbortController();
  outgoing.on("close", () => controller.abort());
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  const method = incoming.method ?? "GET";
  const request = new Request(`http://${headers.get("host")}${incoming.url}`, {
    method,
    headers,
    signal: controller.signal,
    ...(method === "GET" || method === "HEAD"
      ? {}
      : {
          body: NodeReadableStream.from<Uint8Array>(incoming) as ReadableStream<Uint8Array>,
          duplex: "half" as const,
        }),
  });
  const response = await route(request, services);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.flushHeaders();
  if (response.body === null) {
    outgoing.end();
    return;
  }
  const body = Readable.fromWeb(response.body as NodeReadableStream<Uint8Array>);
  outgoing.on("close", () => body.destroy());
  // A cut connection ends the body early; that is what such a test is about.
  body.on("error", () => outgoing.destroy());
  body.pipe(outgoing);
}

function route(request: Request, services: Services): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname.startsWith(apiPath)) return handleTrpc(request, services);
  if (pathname === "/api/activations") return handleUpload(request, services);
  if (pathname === "/api/datasets") return handleDatasetUpload(request, services);
  if (pathname.startsWith("/api/saes/")) return handleDownload(request, services);
  if (pathname === "/api/health") return handleHealth(services);
  if (pathname === "/api/ready") return handleReady(services);
  return Promise.resolve(new Response("not found", { status: 404 }));
}
