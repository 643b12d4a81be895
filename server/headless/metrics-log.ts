import { type FileHandle, open, readFile, rename, writeFile } from "node:fs/promises";
import { z } from "zod";

const rowSchema = z.looseObject({ step: z.number().int() });

/** A run's figures by step: one JSON object a line, in the order of their steps. What is not finite is null. */
export class MetricsLog {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /**
   * Opens the file to go on after a step: rows of later steps, and a line that was cut off, are dropped, so that no
   * step comes twice.
   * @param from Where rows up to that step stand now; the file itself, or that of the run that is gone on from.
   */
  static async open(file: string, afterStep: number, from = file): Promise<MetricsLog> {
    const kept = afterStep === 0 ? [] : await rowsUpTo(from, afterStep);
    const aside = `${file}.partial`;
    await writeFile(aside, kept.map((line) => `${line}\n`).join(""));
    await rename(aside, file);
    return new MetricsLog(await open(file, "a"));
  }

  async append(rows: readonly { step: number }[]): Promise<void> {
    if (rows.length === 0) return;
    await this.#handle.appendFile(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }

  /** Rows so far will survive a power cut. */
  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

async function rowsUpTo(file: string, step: number): Promise<string[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const lines = text.split("\n");
  const end = lines.findIndex((line) => {
    const row = parsed(line);
    return row === null || row.step > step;
  });
  return lines.slice(0, end === -1 ? lines.length : end);
}

function parsed(line: string): { step: number } | null {
  try {
    return rowSchema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
