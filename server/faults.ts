import { z } from "zod";
import type { Fault } from "./errors.ts";

/** Human name of the option at a path of a schema: the label of the last part that has one, else its key. */
function labelAt(schema: z.ZodType, path: readonly PropertyKey[]): string {
  let label = String(path.at(-1) ?? "The input");
  let at: z.ZodType[] = [schema];
  for (const part of path) {
    at = at.flatMap((one) => membersAt(one, String(part)));
    const own = at.map((one) => one.meta()?.label).find((one) => typeof one === "string");
    if (own !== undefined) label = own;
  }
  return label;
}

/** The same for a sentence: an entry of a labelled list is not the list. */
function nameAt(schema: z.ZodType, path: readonly PropertyKey[]): string {
  const label = labelAt(schema, path);
  return typeof path.at(-1) === "number" && label === labelAt(schema, path.slice(0, -1))
    ? `Every number of ${label}`
    : label;
}

/** Schemas that stand at a key of objects, lists and choices of them, whatever is wrapped around those. */
function membersAt(schema: z.ZodType, key: string): z.ZodType[] {
  if (schema instanceof z.ZodObject) {
    const member: unknown = schema.shape[key];
    return member instanceof z.ZodType ? [member] : [];
  }
  const inner: readonly unknown[] =
    schema instanceof z.ZodArray
      ? [schema.element]
      : schema instanceof z.ZodUnion
        ? schema.options
        : schema instanceof z.ZodPipe
          ? [schema.out]
          : schema instanceof z.ZodDefault ||
              schema instanceof z.ZodNullable ||
              schema instanceof z.ZodOptional
            ? [schema.unwrap()]
            : [];
  const schemas = inner.filter((one): one is z.ZodType => one instanceof z.ZodType);
  return schema instanceof z.ZodArray ? schemas : schemas.flatMap((one) => membersAt(one, key));
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
      if (issue.origin === "array") return `${label} must have at least ${issue.minimum}.`;
      if (issue.origin === "string") return `${label} needs at least ${issue.minimum} characters; ${is}.`;
      return `${label} must be ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}; ${is}.`;
    case "too_big":
      if (issue.origin === "array") return `${label} may be at most ${issue.maximum}.`;
      if (issue.origin === "string") return `${label} may have at most ${issue.maximum} characters.`;
      return `${label} must be ${issue.inclusive === false ? "less than" : "at most"} ${issue.maximum}; ${is}.`;
    case "invalid_value":
      return issue.values.length > 3
        ? `${label} must be one of ${issue.values.map(String).join(", ")}; ${is}.`
        : `${label} must be ${issue.values.map((value) => shown(value)).join(" or ")}; ${is}.`;
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
      message: sentence(nameAt(schema, issue.path), issue),
    })),
  };
}
