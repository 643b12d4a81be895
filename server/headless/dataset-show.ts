import type { LocalInvocation } from "../cli/commands.ts";
import { type Dataset, type DatasetDocument, openDataset } from "../datasets/dataset.ts";
import type { SearchPage } from "../datasets/search.ts";
import { InvalidInputError } from "../errors.ts";
import { datasetLines } from "./dataset-import.ts";
import { exitCode } from "./exit-code.ts";
import { GivenOptions } from "./given-options.ts";

export const datasetShowOptions = ["search", "from", "limit"] as const;

const usualLimit = 5;
/** Of a document that is shown among others. */
const shownLength = 400;

/** `facet dataset show`: what is known of a dataset, and documents of it. */
export async function showDataset({ output, words, options, json }: LocalInvocation): Promise<number> {
  const given = new GivenOptions(options);
  const from = wholeNumber(given, "from", 0);
  const limit = wholeNumber(given, "limit", usualLimit);
  const search = given.text("search");
  if (given.faults.length > 0) throw new InvalidInputError(given.faults);
  const dataset = await openDataset(words[0]!);
  try {
    if (search !== null) {
      const page = await searchAll(dataset, search, from, limit);
      if (json) output.out(JSON.stringify(page));
      else for (const line of matchLines(page)) output.out(line);
      return exitCode.done;
    }
    const documents = await dataset.read(from, limit);
    const { manifest } = dataset;
    if (json) output.out(JSON.stringify({ manifest, documents }));
    else for (const line of [...datasetLines(manifest), ...documentLines(documents)]) output.out(line);
    return exitCode.done;
  } finally {
    await dataset.close();
  }
}

/** Page after page until there are enough. */
async function searchAll(dataset: Dataset, text: string, from: number, limit: number): Promise<SearchPage> {
  const all: SearchPage = { matches: [], next: from, searched: 0 };
  while (all.next !== null && all.matches.length < limit) {
    const page = await dataset.search(text, all.next, limit - all.matches.length);
    all.matches.push(...page.matches);
    all.searched += page.searched;
    all.next = page.next;
  }
  return all;
}

function wholeNumber(given: GivenOptions, name: "from" | "limit", usual: number): number {
  const value = given.number(name) ?? usual;
  if (Number.isSafeInteger(value) && value >= 0) return value;
  given.fault(name, `It is a whole number from 0 on, not ${value}.`);
  return usual;
}

function documentLines(documents: readonly DatasetDocument[]): string[] {
  return documents.flatMap(({ index, text, meta }) => [
    "",
    `Document ${index}${meta === null ? "" : `  ${JSON.stringify(meta)}`}`,
    text.length <= shownLength ? text : `${text.slice(0, shownLength)}… (${text.length} characters)`,
  ]);
}

function matchLines({ matches, next, searched }: SearchPage): string[] {
  const found = `${matches.length} found in ${searched} documents`;
  return [
    ...matches.map(({ index, excerpt }) => `${index}: ${excerpt.replaceAll(/\s+/g, " ")}`),
    next === null ? `${found}; there are no more.` : `${found}; go on with --from ${next}.`,
  ];
}
