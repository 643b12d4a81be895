import type { LabelledDocument } from "./grammar/grammar.ts";

const rest = ({ spans }: LabelledDocument, group: string): string | undefined =>
  spans.find(({ label }) => label.startsWith(group))?.label.slice(group.length);

/** A document as a line of the shipped text. */
export function textLine(document: LabelledDocument): string {
  const kind = rest(document, "kind.");
  const topic = rest(document, "topic.");
  return `${JSON.stringify({ text: document.text, kind, topic })}\n`;
}
