import { TokenizerError } from "./tokenizer-error.ts";
import type { TokenizerJson } from "./tokenizer-file.ts";

/*
 * @huggingface/tokenizers gives the ids of Hugging Face's own library, but for a few things that it passes over in
 * silence. A tokenizer that needs one of them is refused here, for its ids would be wrong; an unknown part is refused by
 * the library itself.
 */

type Part = Readonly<Record<string, unknown>>;

/** @throws TokenizerError naming what is not supported */
export function checkSupported(file: string, json: TokenizerJson): void {
  const refuse = (what: string): never => {
    throw new TokenizerError(
      `${file}: ${what} is not supported, and the ids would be wrong without it. Use a model with another tokenizer.`,
    );
  };
  const { model } = json;
  if (!["BPE", "Unigram", "WordPiece"].includes(model.type ?? "")) {
    if (model.type != null) refuse(`a model of type ${JSON.stringify(model.type)}`);
    if (!("merges" in model) && !Array.isArray(model.vocab)) refuse("a model without a type");
  }
  if (Number(model.dropout ?? 0) > 0) refuse("BPE with dropout, which gives other ids each time,");
  if ("merges" in model && (model.continuing_subword_prefix ?? "") !== "") {
    refuse("BPE with a continuing_subword_prefix");
  }
  const single = json.added_tokens.find((token) => token.single_word);
  if (single !== undefined)
    refuse(`the added token ${JSON.stringify(single.content)} that is only a single word`);
  const normalizers = partsOf(json.normalizer, "normalizers");
  for (const one of partsOf(json.pre_tokenizer, "pretokenizers")) {
    const behavior = String(one.behavior ?? "").toLowerCase();
    const merges = ["mergedwithprevious", "mergedwithnext", "contiguous"].includes(behavior);
    // Gemma splits at spaces, of which its normalizer leaves none.
    const never = normalizers.some((normalizer) => replaces(normalizer, one.pattern));
    if (one.type === "Split" && merges && !never) refuse(`a Split of behavior ${String(one.behavior)}`);
  }
}

function partsOf(part: Part | null, within: "normalizers" | "pretokenizers"): Part[] {
  if (part === null) return [];
  const inner = part[within];
  if (part.type !== "Sequence" || !Array.isArray(inner)) return [part];
  return inner.flatMap((one: unknown) => (one instanceof Object ? partsOf(one as Part, within) : []));
}

function replaces(normalizer: Part, pattern: unknown): boolean {
  if (normalizer.type !== "Replace") return false;
  const stringOf = (value: unknown) =>
    value instanceof Object && "String" in value && typeof value.String === "string" ? value.String : null;
  const replaced = stringOf(normalizer.pattern);
  return (
    replaced !== null && replaced === stringOf(pattern) && !String(normalizer.content).includes(replaced)
  );
}
