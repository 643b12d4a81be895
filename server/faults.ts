import { z } from "zod";
import type { Fault } from "./errors.ts";

/** Human name of the option at a path of a schema: its label where it has one, else its key. */
function labelAt(schema: z.ZodType, path: readonly PropertyKey[]): string {
  const key = String(path.at(-1) ?? "The input");
  let at: z.ZodType | undefined = schema;
  for (const part of path) {
    const key = String(part);
    const objects: z.ZodType[] =
      at instanceof z.ZodDiscriminatedUnion ? (at.options as z.ZodType[]) : at === undefined ? [] : [at];
    at = objects.find((one): one is z.ZodObject => one instanceof z.ZodObject && key in one.shape)?.shape[
      key
    ];
  }
  const label = at?.meta()?.label;
  return typeof label === "string" ? label : key;
}

const words: Record<string, string> = {
  number: "a number",
  int: "a whole number",
  string: "text",
  boolean: "yes or no",
  object: "a group of fields",
  array: "a list",
};

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null || value === "") return "empty";
  const text = typeof value === "string" ? `“${value}”` : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function sentence(label: string, issue: z.core.$ZodIssue): string {
  const is = `it is ${shown(issue.input)}`;
  switch (issue.code) {
    case "invalid_type":
      return `${label} must be ${words[issue.expected] ?? issue.expected}; ${is}.`;
    case "too_small":
      if (issue.origin === "string") return `${label} needs at least ${issue.minimum} characters; ${is}.`;
      return `${label} must be ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}; ${is}.`;
    case "too_big":
      if (issue.origin === "string") return `${label} may have at most ${issue.maximum} characters.`;
      return `${label} must be ${issue.inclusive === false ? "less than" : "at most"} ${issue.maximum}; ${is}.`;
    case "invalid_value":
      return `${label} must be ${issue.values.map((value) => shown(value)).join(" or ")}; ${is}.`;
    case "unrecognized_keys":
      return `There is no option ${issue.keys.map((key) => `“${key}”`).join(", ")}.`;
    case "invalid_format":
      return `${label} is not a valid ${issue.format}; ${is}.`;
    default:
      return `${label}: ${issue.message}`;
  }
}

/** Parses, or gives every fault as a full sentence at its path below `prefix`. */
export function parseWithFaults<T extends z.ZodType>(
  schema: T,
  value: unknown,
  prefix: string,
): { data: z.output<T>; faults: [] } | { data: null; faults: Fault[] } {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return { data: parsed.data, faults: [] };
  return {
    data: null,
    faults: parsed.error.issues.map((issue) => ({
      path: [prefix, ...issue.path.map(String)].filter((part) => part !== "").join("."),
      message: sentence(labelAt(schema, issue.path), issue),
    })),
  };
}
