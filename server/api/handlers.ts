import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { sql } from "drizzle-orm";
import { uploadActivationSet } from "../activations/upload.ts";
import { uploadDataset } from "../datasets/upload.ts";
import { AccessError, ServiceError, type ServiceErrorCode } from "../errors.ts";
import { downloadSae } from "../saes/download.ts";
import { processServices, type Services } from "../services.ts";
import { accessRules, assertAccess } from "./access.ts";
import { appRouter } from "./router.ts";
import { toTrpcError } from "./trpc.ts";

// Requests in the shape of the web platform, so that Next's routes and any other server can use them alike.

export const apiPath = "/api/trpc";

/** tRPC, with the access check made once more behind the proxy. */
export function handleTrpc(request: Request, services: Services): Promise<Response> {
  return fetchRequestHandler({
    endpoint: apiPath,
    req: request,
    router: appRouter,
    createContext: () => {
      try {
        assertAccess(accessRules(services.env, services.token), request);
      } catch (error) {
        throw error instanceof ServiceError ? toTrpcError(error) : error;
      }
      return { services };
    },
    onError({ error, path }) {
      if (error.code === "INTERNAL_SERVER_ERROR") console.error(`${path ?? "request"} failed:`, error);
    },
  });
}

const httpStatuses: Record<ServiceErrorCode, number> = {
  not_found: 404,
  conflict: 409,
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  too_large: 413,
  unavailable: 503,
};

/** PUT with the file as the body; answers `{ id }` with 202, or `{ error: { message, faults } }`. */
export function handleUpload(request: Request, services: Services): Promise<Response> {
  return answered(request, services, async () =>
    Response.json(await uploadActivationSet(services, request), { status: 202 }),
  );
}

/** POST with a file of texts as the body; answers as `handleUpload` does. */
export function handleDatasetUpload(request: Request, services: Services): Promise<Response> {
  return answered(request, services, async () =>
    Response.json(await uploadDataset(services, request), { status: 202 }),
  );
}

/** GET /api/saes/<id>?format=<layout>: the SAE as a zip file, or `{ error: { message, faults } }`. */
export function handleDownload(request: Request, services: Services): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const id = pathname.split("/").at(-1) ?? "";
  return answered(request, services, () => downloadSae(services, { id, format: searchParams.get("format") }));
}

/** What a handler answers once access is granted; the services' errors as JSON. */
async function answered(
  request: Request,
  services: Services,
  handler: () => Promise<Response>,
): Promise<Response> {
  try {
    assertAccess(accessRules(services.env, services.token), request);
    return await handler();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return Response.json(
      { error: { message: error.message, faults: error.faults } },
      { status: error instanceof AccessError ? error.status : httpStatuses[error.code] },
    );
  }
}

/** The process answers and reaches its database. */
export async function handleHealth(services: Services): Promise<Response> {
  await services.db.execute(sql`select 1`);
  return Response.json({ status: "ok" }, { headers: noStore });
}

/** Besides, a worker is alive to take runs; 503 otherwise. */
export async function handleReady(services: Services): Promise<Response> {
  const { workers } = await appRouter.createCaller({ services }).system.status();
  const alive = workers.filter((worker) => worker.status !== "dead").length;
  return Response.json(
    { status: alive > 0 ? "ready" : "no worker", workers: alive },
    { status: alive > 0 ? 200 : 503, headers: noStore },
  );
}

const noStore = { "cache-control": "no-store" };

/** The route of app/api/trpc/[trpc]. */
export const trpcRoute = async (request: Request) => handleTrpc(request, await processServices());
/** The route of app/api/activations. */
export const uploadRoute = async (request: Request) => handleUpload(request, await processServices());
/** The route of app/api/datasets. */
export const datasetUploadRoute = async (request: Request) =>
  handleDatasetUpload(request, await processServices());
/** The route of app/api/saes/[id]. */
export const downloadRoute = async (request: Request) => handleDownload(request, await processServices());
/** The route of app/api/health: 503 with the cause in the server's log when the database does not answer. */
export const healthRoute = () => guarded(handleHealth);
/** The route of app/api/ready. */
export const readyRoute = () => guarded(handleReady);

async function guarded(handler: (services: Services) => Promise<Response>): Promise<Response> {
  try {
    return await handler(await processServices());
  } catch (error) {
    console.error(error);
    return Response.json({ status: "unavailable" }, { status: 503, headers: noStore });
  }
}
