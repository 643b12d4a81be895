import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import { uuidv7 } from "../db/uuid.ts";
import { InvalidInputError, ServiceError } from "./errors.ts";
import type { Services } from "./services.ts";

/** Query parameters that say something. */
export function parametersOf(request: Request): Record<string, string> {
  return Object.fromEntries([...new URL(request.url).searchParams].filter(([, value]) => value !== ""));
}

/**
 * Streams the raw body of a request to a file in FACET_HOME/uploads and returns it; the caller removes it. Throws
 * `ServiceError` too_large past the limit, `InvalidInputError` for a body that is missing or was cut off.
 * @param ending Of the file's name, such as ".safetensors".
 */
export async function receiveUpload(
  { env }: Pick<Services, "env">,
  request: Request,
  ending: string,
): Promise<string> {
  if (request.body === null) throw bodyFault("The request has no body; send the file's bytes.");
  const limit = env.upload_limit_bytes;
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > limit) throw tooLarge(limit);

  const folder = path.join(env.home, "uploads");
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, `${uuidv7()}${ending}`);
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
    return file;
  } catch (error) {
    await rm(file, { force: true });
    if (error instanceof ServiceError) throw error;
    throw bodyFault(`The upload broke off after ${received} bytes; send it again.`);
  }
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
