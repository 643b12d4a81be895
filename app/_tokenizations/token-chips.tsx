import type { SequenceToken } from "../../server/tokens/views.ts";
import { classNames } from "../_ui/class-names.ts";
import { formatCount } from "../_ui/format.ts";

/** A token of a sequence, with the document that it is of; null of what packing puts in. */
export interface PlacedToken extends SequenceToken {
  document: number | null;
  offset: number | null;
}

/** White space as marks, so that it can be seen: a token is often a space and a word. */
function visible(text: string): string {
  return text.replaceAll(" ", "·").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
}

function titleOf({ id, document, offset, kind }: PlacedToken, position: number): string {
  const place = `position ${position}, id ${formatCount(id)}`;
  if (document === null) return `${place}, ${kind}`;
  return `${place}, token ${formatCount(offset ?? 0)} of document ${formatCount(document)}${kind === "text" ? "" : `, ${kind}`}`;
}

const looks: Record<PlacedToken["kind"], string> = {
  text: "",
  special: "border-accent/40 bg-accent-soft text-accent",
  padding: "border-line bg-transparent text-ink-3 line-through decoration-ink-3/50",
};

function Chip({ token, position, even }: { token: PlacedToken; position: number; even: boolean }) {
  return (
    <span
      title={titleOf(token, position)}
      className={classNames(
        "inline-block max-w-full rounded-[3px] border px-[3px] break-all",
        looks[token.kind] || (even ? "border-line bg-sunken" : "border-line-strong/60 bg-hover"),
      )}
    >
      {visible(token.text)}
    </span>
  );
}

/**
 * A sequence, token by token: documents in turn on two grounds, each begun by its number; special tokens in the accent,
 * padding struck out.
 */
export function TokenChips({ label, tokens }: { label: string; tokens: readonly PlacedToken[] }) {
  const starts = tokens.map(({ document }, at) => document !== null && document !== lastDocument(tokens, at));
  let documents = 0;
  return (
    <ol aria-label={label} className="num flex flex-wrap gap-x-0.5 gap-y-1 text-xs leading-5">
      {tokens.map((token, position) => {
        const starting = starts[position] === true;
        if (starting) documents++;
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: a token has no other identity than its place
          <li key={position} className="inline-flex max-w-full">
            {starting ? (
              <span className="mr-0.5 inline-flex items-center gap-1 border-l-2 border-chart-2 pr-0.5 pl-1.5 text-2xs whitespace-nowrap text-ink-2">
                <span className="sr-only">document </span>#{formatCount(token.document ?? 0)}
                {token.offset ? <span className="text-ink-3">from {formatCount(token.offset)}</span> : null}
              </span>
            ) : null}
            <Chip token={token} position={position} even={documents % 2 === 0} />
          </li>
        );
      })}
    </ol>
  );
}

function lastDocument(tokens: readonly PlacedToken[], at: number): number | null {
  for (let before = at - 1; before >= 0; before--) {
    const document = tokens[before]?.document ?? null;
    if (document !== null) return document;
  }
  return null;
}

/** What the looks of tokens say. */
export function TokenLegend() {
  return (
    <ul className="num flex flex-wrap gap-x-4 gap-y-1 text-2xs text-ink-2">
      <li className="flex items-center gap-1.5">
        <span className="rounded-[3px] border border-line-strong/60 bg-hover px-[3px]">a document</span>
        <span className="rounded-[3px] border border-line bg-sunken px-[3px]">the next</span>
      </li>
      <li className={classNames("rounded-[3px] border px-[3px]", looks.special)}>special</li>
      <li className={classNames("rounded-[3px] border px-[3px]", looks.padding)}>padding</li>
      <li className="flex items-center gap-1.5">
        <span className="border-l-2 border-chart-2 pl-1.5">#12</span> its number
      </li>
    </ul>
  );
}
