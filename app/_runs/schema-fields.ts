import { z } from "zod";

/** One option of a flat, described zod schema, as a form, a table or a help text needs it. */
export interface OptionField {
  key: string;
  label: string;
  help: string;
  group: string;
  unit: string | null;
  source: string | null;
  /** `integers`: a list of whole numbers, written "32, 96, 256". */
  kind: "integer" | "number" | "boolean" | "choice" | "integers" | "text";
  choices: readonly string[];
  /** May be left empty. */
  nullable: boolean;
  /** Undefined where there is none: the option must be given. */
  default: OptionValue | undefined;
  /** Bounds in words, e.g. "1 to 4,096". */
  bounds: string | null;
}

export type OptionValue = string | number | boolean | null | readonly number[];

const boundsSchema = z.looseObject({
  type: z.string().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  exclusiveMaximum: z.number().optional(),
});

const scalarSchema = boundsSchema.extend({ items: boundsSchema.optional() });

const propertySchema = scalarSchema.extend({
  anyOf: z.array(scalarSchema).optional(),
  default: z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.number())]).optional(),
  label: z.string(),
  help: z.string(),
  group: z.string(),
  unit: z.string().optional(),
  source: z.string().optional(),
});

function bounds(scalar: z.output<typeof boundsSchema>): string | null {
  const write = (value: number) =>
    Math.abs(value) >= 1e7
      ? value.toExponential().replace("e+", "e")
      : value.toLocaleString("en-US", { maximumSignificantDigits: 8 });
  const low =
    scalar.minimum !== undefined
      ? `from ${write(scalar.minimum)}`
      : scalar.exclusiveMinimum !== undefined
        ? `above ${write(scalar.exclusiveMinimum)}`
        : null;
  const high =
    scalar.maximum !== undefined
      ? `to ${write(scalar.maximum)}`
      : scalar.exclusiveMaximum !== undefined
        ? `below ${write(scalar.exclusiveMaximum)}`
        : null;
  return [low, high].filter(Boolean).join(" ") || null;
}

function kindOf(scalar: z.output<typeof scalarSchema>): OptionField["kind"] {
  if (scalar.enum) return "choice";
  if (scalar.type === "array" && scalar.items?.type === "integer") return "integers";
  if (scalar.type === "integer" || scalar.type === "number" || scalar.type === "boolean") return scalar.type;
  return "text";
}

/** The options of a schema, in its order. */
export function optionFields(schema: z.ZodObject): OptionField[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input" });
  return Object.entries(properties).map(([key, raw]) => {
    const property = propertySchema.parse(raw);
    const scalar = property.anyOf?.find(({ type }) => type !== "null") ?? property;
    return {
      key,
      label: property.label,
      help: property.help,
      group: property.group,
      unit: property.unit ?? null,
      source: property.source ?? null,
      kind: kindOf(scalar),
      choices: scalar.enum ?? [],
      nullable: property.anyOf?.some(({ type }) => type === "null") ?? false,
      default: property.default,
      bounds: bounds(scalar.items ?? scalar),
    };
  });
}

/** Options by group, in the order in which the groups first appear. */
export function grouped(fields: readonly OptionField[]): { group: string; fields: OptionField[] }[] {
  const groups = new Map<string, OptionField[]>();
  for (const field of fields) groups.set(field.group, [...(groups.get(field.group) ?? []), field]);
  return [...groups].map(([group, members]) => ({ group, fields: members }));
}

/** How a value is written into an input. */
export function writeValue(value: OptionValue | undefined): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value !== "number") return String(value);
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-3 || magnitude >= 1e10))
    return value.toExponential().replace("e+", "e");
  return Number.isInteger(value) && magnitude >= 10_000 ? value.toLocaleString("en-US") : String(value);
}

/**
 * What was typed, as a value: thousands separators (in a list: between entries) and 3e-4 are understood; what is not a
 * number stays text, so that the schema can say what is wrong with it.
 */
export function readValue(field: OptionField, text: string): OptionValue | undefined {
  if (field.kind === "integers") {
    const parts = text.split(/[\s,;]+/).filter((part) => part !== "");
    if (parts.length === 0) return field.nullable ? null : undefined;
    const values = parts.map((part) => Number(part.replaceAll("_", "")));
    return values.every(Number.isFinite) ? values : text;
  }
  if (field.kind !== "integer" && field.kind !== "number") return text;
  const plain = text.replaceAll(/[\s,_]/g, "");
  if (plain === "") return field.nullable ? null : undefined;
  const value = Number(plain);
  return Number.isFinite(value) ? value : text;
}
