import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { ReadableStream as NodeReadableStream } from "node:stream/web";
import { workers } from "../../db/schema.ts";
import {
  apiPath,
  handleDatasetUpload,
  handleDownload,
  handleHealth,
  handleReady,
  handleTrpc,
  handleUpload,
} from "../../server/api/handlers.ts";
import { environment } from "../../server/environment.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import { openServices, type Services } from "../../server/services.ts";
import { freshDatabase } from "./database.ts";

export interface TestServices {
  services: Services;
  close(): Promise<void>;
}

/** The services as a web process has them, on a database and in a home folder of their own. */
export async function testServices(variables: Record<string, string> = {}): Promise<TestServices> {
  const database = await freshDatabase();
  const home = await mkdtemp(path.join(os.tmpdir(), "facet-home-"));
  const services = await openServices(
    environment({ FACET_HOME: home, DATABASE_URL: database.url, ...variables }),
  );
  return {
    services,
    async close() {
      await services.close();
      await database.drop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

export interface ApiServer {
  url: string;
  /** Cuts every connection as a broken network does; later ones work again. */
  cut(): void;
  close(): Promise<void>;
}

/** The API over real HTTP, without Next. */
export async function serveApi(services: Services): Promise<ApiServer> {
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
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
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

export function syntheticRun(name: string, config: Partial<CreateRunInput["config"]> = {}): CreateRunInput {
  return {
    name,
    source: { kind: "synthetic", synthetic: {} },
    config: { d_in: 32, d_sae: 64, k: 4, ...config },
  };
}

/** A row for a worker that stays alive for an hour without beating, however slow the machine. */
export async function addWorker(services: Services, host = "test-host"): Promise<string> {
  const [row] = await services.db
    .insert(workers)
    .values({
      host,
      pid: process.pid,
      adapter: "Test adapter",
      software: true,
      heartbeat_at: new Date(Date.now() + 3_600_000),
    })
    .returning({ id: workers.id });
  return row!.id;
}

export function metricsRow(step: number, overrides: Partial<Record<string, number>> = {}) {
  return {
    step,
    tokens: step * 4_096,
    loss: 1 / (step + 1),
    mse_loss: 1 / (step + 1),
    sparsity_loss: 0,
    aux_loss: 0,
    l0: 4,
    explained_variance: 1 - 1 / (step + 1),
    fvu: 1 / (step + 1),
    dead_features: 0,
    grad_norm: 0.5,
    lr: 3e-4,
    sparsity_coefficient: 0,
    tokens_per_second: 40_960,
    gpu_bytes: 1_000_000,
    ...overrides,
  };
}
