import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { makeZip, predictLength } from "client-zip";
import { InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import type { Services } from "../services.ts";
import { type DownloadFolder, downloadFolder, exportSaeInput } from "./export.ts";

/**
 * An SAE as a zip file, uncompressed (weights hardly shrink), its folder inside; streamed, so that nothing of it is held
 * in memory, with its length ahead. Throws `ServiceError`.
 */
export async function downloadSae(
  { db, env }: Pick<Services, "db" | "env">,
  parameters: { id: string; format: string | null },
): Promise<Response> {
  const input = parseWithFaults(
    exportSaeInput,
    { ...parameters, format: parameters.format ?? "saelens" },
    "",
  );
  if (input.data === null) throw new InvalidInputError(input.faults);
  const download = await downloadFolder(db, env.home, input.data);
  try {
    const files = await filesIn(download);
    const length = predictLength(files.map(({ name, size }) => ({ name, size })));
    return new Response(removing(makeZip(entries(files)), download.remove), {
      headers: {
        "content-type": "application/zip",
        "content-length": String(length),
        "content-disposition": `attachment; filename="${download.name}.zip"`,
        "cache-control": "no-store",
      },
    });
  } catch (error) {
    await download.remove();
    throw error;
  }
}

interface ZippedFile {
  /** In the archive. */
  name: string;
  path: string;
  size: number;
}

async function filesIn({ name, folder }: DownloadFolder): Promise<ZippedFile[]> {
  const names = (await readdir(folder)).toSorted();
  return Promise.all(
    names.map(async (file) => {
      const full = path.join(folder, file);
      return { name: `${name}/${file}`, path: full, size: (await stat(full)).size };
    }),
  );
}

async function* entries(files: readonly ZippedFile[]) {
  for (const { name, path: file, size } of files) {
    yield { name, size, input: createReadStream(file) as AsyncIterable<Uint8Array<ArrayBuffer>> };
  }
}

/** The same bytes; `remove` is called when they have been taken, or nobody wants the rest. */
function removing(zip: ReadableStream<Uint8Array>, remove: () => Promise<void>): ReadableStream<Uint8Array> {
  const reader = zip.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            controller.enqueue(value);
            return;
          }
          await remove();
          controller.close();
        } catch (error) {
          await remove();
          controller.error(error);
        }
      },
      async cancel(reason) {
        await reader.cancel(reason);
        await remove();
      },
    },
    { highWaterMark: 0 },
  );
}
