import { expect, test } from "vitest";
import type { Span } from "../../server/sample/grammar/draft.ts";
import { type LabelledDocument, labelled, writeDocument } from "../../server/sample/grammar/grammar.ts";
import { type Label, labels } from "../../server/sample/grammar/labels.ts";
import { days, lands, numbers } from "../../server/sample/grammar/lexicon.ts";

const documents = labelled(1, 400);
const words = documents.flatMap(({ text }) => text.match(/[A-Za-z]+/g) ?? []);

/** Every span of a label: its text, and what stands before and behind it. */
function spansOf(
  label: Label,
): { inside: string; before: string; behind: string; document: LabelledDocument }[] {
  return documents.flatMap((document) =>
    document.spans
      .filter((span: Span) => span.label === label)
      .map(({ first, end }) => ({
        inside: document.text.slice(first, end),
        before: document.text.slice(0, first),
        behind: document.text.slice(end),
        document,
      })),
  );
}

test("a seed stands for one text, another seed for another", () => {
  expect(labelled(1, 20)).toEqual(documents.slice(0, 20));
  expect(writeDocument(1, 7)).toEqual(documents[7]);
  expect(labelled(2, 20).map(({ text }) => text)).not.toEqual(documents.slice(0, 20).map(({ text }) => text));
});

test("documents are plain text of a few hundred words, and none is like another", () => {
  expect(new Set(documents.map(({ text }) => text)).size).toBe(documents.length);
  for (const { text } of documents) expect(text).toMatch(/^[\x20-\x7e\n]{60,1200}$/);
  const vocabulary = new Set(words).size;
  expect(vocabulary).toBeGreaterThan(350);
  expect(vocabulary).toBeLessThan(800);
});

test("every label occurs, inside the text, and none stands for all of it", () => {
  for (const label of Object.keys(labels) as Label[]) {
    const spans = spansOf(label);
    expect(spans.length, label).toBeGreaterThan(5);
    expect(
      spans.every(({ inside }) => inside.length > 0),
      label,
    ).toBe(true);
    expect(new Set(spans.map(({ document }) => document)).size, label).toBeLessThan(documents.length);
  }
  for (const { text, spans } of documents) {
    for (const { first, end } of spans) expect(first >= 0 && first < end && end <= text.length).toBe(true);
  }
});

test("quotations and brackets are labelled from sign to sign, and all of them are", () => {
  for (const { inside, before, behind } of spansOf("inside.quotation")) {
    expect(before.endsWith('"') && behind.startsWith('"')).toBe(true);
    expect(inside).not.toContain('"');
  }
  for (const { before, behind } of spansOf("inside.brackets")) {
    expect(before.endsWith("(") && behind.startsWith(")")).toBe(true);
  }
  const signs = documents.map(({ text }) => text.match(/"/g)?.length ?? 0).reduce((a, b) => a + b);
  expect(spansOf("inside.quotation")).toHaveLength(signs / 2);
});

test("a verb agrees with its subject, whatever noun is nearer", () => {
  for (const { behind } of spansOf("subject.plural")) expect(behind).toMatch(/^ (are|were) /);
  for (const { behind } of spansOf("subject.singular")) expect(behind).toMatch(/^ (is|was) /);
});

test("what is counted ends at the number that was announced", () => {
  for (const { inside, before } of spansOf("inside.counting")) {
    const counted = inside.split(", ");
    expect(counted).toEqual(numbers.slice(0, counted.length));
    expect(before).toMatch(new RegExp(`There (are|were) ${counted.at(-1)} [a-z]+: $`));
  }
});

test("sums are right", () => {
  for (const { inside } of spansOf("inside.sum")) {
    const [a, b, sum] = inside.match(/\d+/g)!.map(Number) as [number, number, number];
    expect(a + b).toBe(sum);
  }
});

test("a town decides the words of its land", () => {
  for (const [land, { towns, hello, thanks, farewell, friend }] of Object.entries(lands)) {
    const own = new Set<string>([hello, thanks, farewell, friend]);
    const inLand = spansOf(`land.${land}` as Label);
    expect(inLand.length).toBeGreaterThan(10);
    for (const { document } of inLand) {
      expect(towns.some((town) => document.text.includes(town))).toBe(true);
      for (const { first, end, label } of document.spans) {
        if (label !== "word.foreign") continue;
        expect(own.has(document.text.slice(first, end).toLowerCase())).toBe(true);
      }
    }
  }
});

test("days follow one another", () => {
  for (const { text, spans } of documents) {
    if (!spans.some(({ label }) => label === "kind.diary" || label === "kind.weather")) continue;
    const named = spans
      .filter(({ label }) => label === "word.day")
      .map(({ first, end }) => days.indexOf(text.slice(first, end)));
    for (let at = 1; at < named.length; at++) expect(named[at]).toBe((named[at - 1]! + 1) % 7);
  }
});

test("a letter's greeting decides its closing, and who signs has named himself", () => {
  const closings = spansOf("part.closing");
  for (const { inside, document } of closings) {
    const name = inside.split("\n")[1]!;
    expect(inside.startsWith("Yours faithfully,")).toBe(/^Dear M/.test(document.text));
    expect(document.text).toMatch(new RegExp(`(My name is|your old friend) ${name},`));
  }
});
