import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { awaiting } from "../awaiting.ts";
import { readyDataset } from "./list.ts";
import type { DocumentPage, SearchPage } from "./views.ts";

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
  _home: string,
  input: z.output<typeof documentsInput>,
): Promise<DocumentPage> {
  await readyDataset(db, input.id);
  return awaiting("Browsing datasets");
}

export const searchInput = z.object({
  id: z.uuid(),
  /** Looked for as it stands, ignoring case. */
  text: z.string().min(1).max(200),
  /** First document to look at. */
  from: z.number().int().min(0).default(0),
  limit: z.number().int().min(1).max(100).default(20),
  /** Characters of each document, around the place. */
  length: z.number().int().min(1).max(mostCharacters).default(400),
});

/** Documents that hold a text. Throws `NotFoundError`, or `ConflictError` for a dataset that is not ready. */
export async function searchDataset(
  db: Executor,
  _home: string,
  input: z.output<typeof searchInput>,
): Promise<SearchPage> {
  await readyDataset(db, input.id);
  return awaiting("Searching datasets");
}
