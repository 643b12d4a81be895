import type { ByteSource } from "../../gpu/data/safetensors.ts";
import { HubError } from "./hub-error.ts";
import type { HubOptions } from "./hub-options.ts";
import { addressOf, bodyStart, checkRemoteFile, describe, type RemoteFile } from "./remote-file.ts";
import { ask } from "./request.ts";
import { persistently, Retries, TransientError } from "./retries.ts";

/** Asked for at first: most files' headers, and small files whole, are within it. */
const headBytes = 256 * 2 ** 10;

/**
 * A file of the hub, read where it is asked for without being downloaded. What is read is not verified against the
 * file's hash. `read` throws `HubError` and the reason of `signal`.
 * @param tell hears why it takes longer, such as a wait that the hub asks for
 */
export function remoteSource(
  hub: HubOptions,
  file: RemoteFile,
  signal: AbortSignal,
  tell: (words: string) => void = () => undefined,
): ByteSource {
  checkRemoteFile(hub, { ...file, size: 0 });
  let head: Promise<Uint8Array> | null = null;
  const fetched = (offset: number, length: number) =>
    persistently(new Retries(hub.patience, signal, tell), () => part(hub, file, offset, length, signal));
  return {
    size: file.size,
    async read(offset, length) {
      if (length === 0) return new Uint8Array();
      if (offset + length > headBytes) return fetched(offset, length);
      head ??= fetched(0, Math.min(file.size, headBytes));
      return (await head).subarray(offset, offset + length);
    },
  };
}

async function part(
  hub: HubOptions,
  file: RemoteFile,
  offset: number,
  length: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const range = { range: `bytes=${offset}-${offset + length - 1}` };
  const answer = await ask(hub, addressOf(hub, file), describe(file), range, signal);
  try {
    const bytes = new Uint8Array(length);
    let at = bodyStart(file, offset, answer.status, answer.headers) - offset;
    for await (const piece of answer.pieces()) {
      // What comes before and after is of a server that gives the whole file.
      const wanted = piece.subarray(Math.max(0, -at), Math.max(0, length - at));
      bytes.set(wanted, Math.max(0, at));
      at += piece.byteLength;
      if (at >= length) return bytes;
    }
  } finally {
    answer.close();
  }
  throw new TransientError(
    new HubError(
      "unavailable",
      `The hub gives fewer bytes of ${describe(file)} than it lists. Try again later.`,
    ),
  );
}
