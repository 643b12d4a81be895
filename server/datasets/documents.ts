import path from "node:path";
import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { type Dataset, openDataset } from "./dataset.ts";
import { datasetPath, readyDataset } from "./list.ts";
import type { SearchPage } from "./search.ts";
import type { DocumentPage, DocumentView } from "./views.ts";

/** Characters of a document that a page shows unless it asks for others. */
const shownCharacters = 2_000;
const mostCharacters = 100_000;

export const documentsInput = z.object({
  id: z.uuid(),
  start: z.number().int().min(0).default(0),
  count: z.number().int().min(1).max(100).default(20),
  /** Characters of each document. */
  length: z.number().int().min(1).max(mostCharacters).default(shownCharacters),
});

/** Documents from `start` on. Throws `NotFoundError`, or `ConflictError` for a dataset that is not ready. */
export async function datasetDocuments(
  db: Executor,
  home: string,
  { id, start, count, length }: z.output<typeof documentsInput>,
): Promise<DocumentPage> {
  return reading(db, home, id, async (dataset) => {
    const total = dataset.manifest.n_documents;
    const found = await dataset.read(start, count);
    const next = start + found.length;
    return {
      documents: found.map(({ index, text, meta }): DocumentView => {
        // By code points, so that no character is cut in two.
        const shown =
          text.length <= length
            ? text
            : Array.from(text.slice(0, 2 * length))
                .slice(0, length)
                .join("");
        return {
          index,
          text: shown,
          characters: codePoints(text),
          truncated: shown.length < text.length,
          meta,
        };
      }),
      total,
      next: found.length > 0 && next < total ? next : null,
    };
  });
}

export const searchInput = z.object({
  id: z.uuid(),
  /** Looked for as it stands, ignoring case. */
  text: z.string().min(1).max(1_000),
  /** First document to look at: `next` of the page before. */
  cursor: z.number().int().min(0).default(0),
  limit: z.number().int().min(1).max(100).default(20),
});

/** Documents that hold a text. Throws `NotFoundError`, or `ConflictError` for a dataset that is not ready. */
export async function searchDataset(
  db: Executor,
  home: string,
  { id, text, cursor, limit }: z.output<typeof searchInput>,
): Promise<SearchPage> {
  return reading(db, home, id, (dataset) => dataset.search(text, cursor, limit));
}

async function reading<T>(
  db: Executor,
  home: string,
  id: string,
  read: (dataset: Dataset) => Promise<T>,
): Promise<T> {
  await readyDataset(db, id);
  const dataset = await openDataset(path.join(home, datasetPath(id)));
  try {
    return await read(dataset);
  } finally {
    await dataset.close();
  }
}

function codePoints(text: string): number {
  let count = 0;
  for (const _character of text) count++;
  return count;
}
