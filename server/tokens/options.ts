import { createHash } from "node:crypto";
import { z } from "zod";
import type { DatasetManifest } from "../datasets/manifest.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { parseWithFaults } from "../faults.ts";
import type { ModelTokenizer } from "./model-tokenizer.ts";

/** Of the files, and of what packing does; a change of either makes another set of the same input. */
export const formatVersion = 1;
/** SAELens' default. */
const usualContext = 128;

export const bosPolicies = ["sequence", "document", "none"] as const;
export const separators = ["bos", "eos", "none"] as const;
export const remainders = ["drop", "pad"] as const;

const choices = {
  /** Where the model's BOS token stands: first in every sequence (SAELens' prepend_bos), before every document, or nowhere. */
  bos: z.enum(bosPolicies),
  /** The token between two documents. */
  separator: z.enum(separators),
  /** What becomes of the last tokens, which do not fill a sequence. */
  remainder: z.enum(remainders),
  /** Share of the sequences, at the end, that are never trained on; at least one of two or more, where it is not 0. */
  held_out: z.number().min(0).max(0.9),
};

const tokenizeOptionsSchema = z.strictObject({
  /** Tokens of a sequence. Null: 128, or what the model takes where that is less. */
  context_size: z
    .number()
    .int()
    .min(2)
    .max(2 ** 20)
    .nullable()
    .default(null),
  /** Null: every sequence, where the model has a BOS token. */
  bos: choices.bos.nullable().default(null),
  /** Null: with BOS in every sequence BOS, as in SAELens; otherwise EOS, where the model has one and it is not BOS too. */
  separator: choices.separator.nullable().default(null),
  remainder: choices.remainder.default("drop"),
  held_out: choices.held_out.default(0.05),
});

export type TokenizeOptionsInput = z.input<typeof tokenizeOptionsSchema>;

export const packingSchema = z.object({
  context_size: z
    .number()
    .int()
    .min(2)
    .max(2 ** 20),
  ...choices,
});
/** The options as they are carried out. */
export type Packing = z.output<typeof packingSchema>;

/** The options with the defaults of the model. Throws `InvalidInputError` with everything that is wrong. */
export function packingFor(model: ModelTokenizer, given: TokenizeOptionsInput): Packing {
  const { data, faults } = parseWithFaults(tokenizeOptionsSchema, given, "");
  if (data === null) throw new InvalidInputError(faults);
  const { bos_id, eos_id, n_ctx } = model;
  const bos = data.bos ?? (bos_id === null ? "none" : "sequence");
  const eos = eos_id !== null && (bos === "none" || eos_id !== bos_id) ? "eos" : "none";
  const separator = data.separator ?? (bos === "sequence" ? "bos" : eos);
  const context_size = data.context_size ?? Math.max(2, Math.min(usualContext, n_ctx));
  const wrong: Fault[] = [];
  // The last token of a sequence may be there only to be predicted.
  if (context_size > n_ctx + 1) {
    wrong.push({
      path: "context_size",
      message: `${context_size} tokens are more than the model takes: ${n_ctx}, and one more that is only predicted.`,
    });
  }
  if (bos !== "none" && bos_id === null) {
    wrong.push({ path: "bos", message: "The model has no BOS token; take none." });
  }
  const separatorId = { bos: bos_id, eos: eos_id, none: 0 }[separator];
  if (separatorId === null) {
    wrong.push({
      path: "separator",
      message: `The model has no ${separator.toUpperCase()} token; take another or none.`,
    });
  }
  if (wrong.length > 0) throw new InvalidInputError(wrong);
  const { remainder, held_out } = data;
  return { context_size, bos, separator, remainder, held_out };
}

/** What a set of tokens is made of, as one hash that is known before the work. */
export function tokenSetHash(
  dataset: Pick<DatasetManifest, "sha256">,
  model: ModelTokenizer,
  packing: Packing,
): string {
  const { context_size, bos, separator, remainder, held_out } = packing;
  const identity = [
    ["format_version", formatVersion],
    ["dataset", dataset.sha256],
    ["tokenizer", model.sha256],
    ["vocab_size", model.vocab_size],
    ["ids", model.bos_id, model.eos_id, model.pad_id],
    ["options", context_size, bos, separator, remainder, held_out],
  ];
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}
