import type { LocalInvocation } from "../cli/commands.ts";
import { InvalidInputError } from "../errors.ts";
import type { TokenSetManifest } from "../tokens/manifest.ts";
import { bosPolicies, remainders, separators } from "../tokens/options.ts";
import { tokenizeDataset } from "../tokens/tokenize.ts";
import { lengthLines } from "./dataset-import.ts";
import { exitCode } from "./exit-code.ts";
import { GivenOptions, withOptionFaults } from "./given-options.ts";
import { Interruption } from "./interruption.ts";
import { LateProgress } from "./late-progress.ts";

export const tokenizeOptions = [
  "dataset",
  "model",
  "context-size",
  "bos",
  "separator",
  "remainder",
  "held-out",
  "workers",
  "out",
] as const;

/** `facet tokenize`: packs a dataset's documents into sequences of tokens of a model. */
export async function tokenize({ output, options, json }: LocalInvocation): Promise<number> {
  const given = new GivenOptions(options);
  const dataset = given.needed("dataset", "Give the folder of a dataset, as facet dataset import makes it.");
  const model = given.needed("model", "Give the folder of a model, with its tokenizer.json and config.json.");
  const folder = given.needed("out", "Give the folder to keep the tokens in; it is made.");
  const workers = given.number("workers");
  const remainder = given.choice("remainder", remainders);
  const held_out = given.number("held-out");
  const packing = {
    context_size: given.number("context-size"),
    bos: given.choice("bos", bosPolicies),
    separator: given.choice("separator", separators),
    ...(remainder === null ? {} : { remainder }),
    ...(held_out === null ? {} : { held_out }),
  };
  if (given.faults.length > 0) throw new InvalidInputError(given.faults);
  const interruption = new Interruption();
  const line = json ? output.err : output.out;
  const progress = new LateProgress({ unit: "document", line, rewrite: output.rewrite });
  let already = false;
  try {
    const manifest = await withOptionFaults(() =>
      tokenizeDataset({
        dataset,
        model,
        folder,
        options: packing,
        workers,
        signal: interruption.signal,
        onProgress({ stage, documents, total_documents, tokens }) {
          already = stage === "already_done";
          progress.update(documents, total_documents, `${tokens} tokens`);
        },
      }),
    );
    progress.end();
    if (already) line(`${folder} holds the tokens of this very input already; nothing was done.`);
    if (json) output.out(JSON.stringify({ ...manifest, already_done: already }));
    else for (const one of [...tokenLines(manifest), `Tokens in ${folder}`]) output.out(one);
    return exitCode.done;
  } finally {
    progress.end();
    interruption.dispose();
  }
}

/** A token set in words. */
export function tokenLines(manifest: TokenSetManifest): string[] {
  const { options, n_sequences, held_out_sequences, tokenizer, dataset, dtype } = manifest;
  const number = (count: number) => count.toLocaleString("en");
  const facts: [string, string][] = [
    [
      "sequences",
      `${number(n_sequences)} of ${options.context_size}, the last ${number(held_out_sequences)} held out`,
    ],
    ["text tokens", number(manifest.n_text_tokens)],
    ["special", number(manifest.n_special_tokens)],
    ["padding", number(manifest.n_padding_tokens)],
    ["dropped", `${number(manifest.n_dropped_tokens)} at the end`],
    ["BOS", options.bos === "none" ? "none" : `${manifest.bos_id} in every ${options.bos}`],
    ["separator", options.separator],
    ["tokens/char", manifest.tokens_per_character.toPrecision(4)],
    ["stored as", dtype],
    ["hash", manifest.hash],
  ];
  return [
    `Tokens of ${dataset.name} by the tokenizer of ${tokenizer.model}`,
    ...facts.map(([fact, value]) => `  ${fact.padEnd(11)}  ${value}`),
    "",
    ...lengthLines("tokens", manifest.document_tokens),
  ];
}
