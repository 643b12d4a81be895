import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { uuidv7 } from "../../db/uuid.ts";
import { InvalidInputError, ServiceError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import type { Services } from "../services.ts";
import { beginImport, setDescriptionSchema } from "./import.ts";

/**
 * Takes a safetensors file as the raw body of a request, described by query parameters (`name`, `hook_name`,
 * `model_name`, `dataset_name`, `tensor`), streams it to FACET_HOME/uploads and begins its import. Throws
 * `ServiceError` too_large past the limit, `InvalidInputError` for the parameters or a body that was cut off.
 */
export async function uploadActivationSet(
  services: Pick<Services, "db" | "env" | "background">,
  request: Request,
): Promise<{ id: string }> {
  const parameters = Object.fromEntries(
    [...new URL(request.url).searchParams].filter(([, value]) => value !== ""),
  );
  const description = parseWithFaults(setDescriptionSchema, parameters, "");
  if (description.data === null) throw new InvalidInputError(description.faults);
  if (request.body === null) throw bodyFault("The request has no body; send the file's bytes.");
  const limit = services.env.upload_limit_bytes;
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > limit) throw tooLarge(limit);

  const folder = path.join(services.env.home, "uploads");
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, `${uuidv7()}.safetensors`);
  let received = 0;
  const counted = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      received += chunk.byteLength;
      if (received > limit) done(tooLarge(limit));
      else done(null, chunk);
    },
  });
  try {
    // The web's and Node's declarations of the same stream class differ only in name.
    const body = Readable.fromWeb(request.body as NodeReadableStream<Uint8Array>);
    await pipeline(body, counted, createWriteStream(file, { flags: "wx", mode: 0o600 }));
    if (declared !== null && received !== Number(declared)) {
      throw bodyFault(`The upload ended after ${received} of ${declared} bytes; send it again.`);
    }
  } catch (error) {
    await rm(file, { force: true });
    if (error instanceof ServiceError) throw error;
    throw new InvalidInputError([
      { path: "body", message: `The upload broke off after ${received} bytes; send it again.` },
    ]);
  }
  const origin = description.data.name ?? "upload";
  return beginImport(services, { file, origin, description: description.data, temporary: true });
}

function bodyFault(message: string): InvalidInputError {
  return new InvalidInputError([{ path: "body", message }]);
}

function tooLarge(limit: number): ServiceError {
  return new ServiceError(
    "too_large",
    `The file is larger than the ${limit} bytes that may be uploaded; import it by path or raise FACET_UPLOAD_LIMIT_BYTES.`,
  );
}
