import type { z } from "zod";
import { nestsDeeperThan } from "../../gpu/data/json-depth.ts";
import type { ByteSource } from "../../gpu/data/safetensors.ts";
import { parseWithFaults } from "../faults.ts";
import { openRegularFile } from "./regular-file.ts";
import { asFormatError, SaeFormatError } from "./sae-format-error.ts";

/** Configurations take kilobytes; the longest in the field, with their dataset's statistics, a few megabytes. */
const maxBytes = 16 * 2 ** 20;
const maxDepth = 64;

/** A JSON object from a stranger's file. Throws `SaeFormatError`. */
export async function readJsonFile(file: string): Promise<Record<string, unknown>> {
  return parseJsonObject(file, await readText(file));
}

/** The same of any bytes, which messages call `file`. */
export async function readJsonSource(file: string, source: ByteSource): Promise<Record<string, unknown>> {
  return parseJsonObject(file, await readSource(file, source));
}

function parseJsonObject(file: string, text: string): Record<string, unknown> {
  if (nestsDeeperThan(text, maxDepth)) {
    throw new SaeFormatError(`${file} nests deeper than ${maxDepth} levels; this is not a configuration.`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 200) : String(error);
    throw new SaeFormatError(
      `${file} is not JSON (${why}). Mend it or copy it again; NaN and Infinity are not JSON.`,
      error,
    );
  }
  if (!isJsonObject(parsed)) throw new SaeFormatError(`${file} is JSON, but not an object of settings.`);
  return parsed;
}

/** The same, or null where there is no such file. */
export async function readJsonFileIfThere(file: string): Promise<Record<string, unknown> | null> {
  try {
    return await readJsonFile(file);
  } catch (error) {
    const cause = error instanceof SaeFormatError ? error.cause : null;
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw error;
  }
}

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function readText(file: string): Promise<string> {
  try {
    const source = await openRegularFile(file);
    try {
      return await readSource(file, source);
    } finally {
      await source.close();
    }
  } catch (error) {
    throw asFormatError(file, error);
  }
}

async function readSource(file: string, source: ByteSource): Promise<string> {
  if (source.size > maxBytes) {
    throw new SaeFormatError(
      `${file} has ${source.size} bytes; ${maxBytes} is the most that is read as a configuration.`,
    );
  }
  const bytes = await source.read(0, source.size);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new SaeFormatError(`${file} is not text in UTF-8.`, error);
  }
}

/** What of a file's JSON a schema recognises. Throws `SaeFormatError` naming every setting that is wrong. */
export function parseSettings<T extends z.ZodType>(file: string, schema: T, value: unknown): z.output<T> {
  const { data, faults } = parseWithFaults(schema, value, "");
  if (data !== null) return data;
  const words = faults
    .slice(0, 8)
    .map(({ path, message }) => (path.includes(".") ? `At ${path}: ${message}` : message));
  throw new SaeFormatError(
    `${file} does not say what it should. ${words.join(" ")} Mend it or copy it again.`,
  );
}
