import { z } from "zod";
import { maxDocumentBytes } from "./limits.ts";

/** How a plain text is cut into documents. */
export type SplitOn = "file" | "blank-line" | "line" | { separator: string };

const count = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

export const importOptionsSchema = z
  .strictObject({
    /** Null: the last part of the source's path, or the repository's name. */
    name: z.string().trim().min(1).max(200).nullable().default(null),
    /** Null: `text`, else the only column of texts. */
    text_column: z.string().min(1).max(1_000).nullable().default(null),
    /** Null: a folder's plain texts are a document each; a single one is cut at blank lines. */
    split_on: z
      .union([
        z.enum(["file", "blank-line", "line"]),
        z.strictObject({ separator: z.string().min(1).max(1_000) }),
      ])
      .nullable()
      .default(null),
    limit_documents: count.nullable().default(null),
    /** The last document that would go beyond is not taken, nor any after it. */
    limit_characters: count.nullable().default(null),
  })
  .describe(`Documents have at most ${maxDocumentBytes} bytes.`);

export type ImportOptions = z.output<typeof importOptionsSchema>;
export type ImportOptionsInput = z.input<typeof importOptionsSchema>;

/** Where documents come from. */
export type DatasetSource =
  /** A file, or a folder with all files below it that are of a format that is read; messages may call a file otherwise. */
  | { kind: "path"; path: string; shown_as?: string }
  /** A dataset of a hub; null where the repository is to say which. */
  | { kind: "hub"; repo: string; config: string | null; split: string | null; revision: string };
