import type { TokenPreview } from "../../server/tokens/views.ts";
import { classNames } from "../_ui/class-names.ts";
import { formatMetric } from "../_ui/format.ts";
import { ScrollBox } from "../_ui/scroll-area.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { TokenChips, TokenLegend } from "./token-chips.tsx";

/** Characters a text token, over what is shown whole; null where nothing says. */
function charactersPerToken({ sequences }: TokenPreview): number | null {
  const text = sequences.flat().filter(({ kind }) => kind === "text");
  const characters = text.reduce((sum, token) => sum + [...token.text].length, 0);
  return text.length === 0 ? null : characters / text.length;
}

/** The first sequences as they would be packed. */
export function PackingPreview({
  preview,
  faulty,
  stale,
}: {
  preview: TokenPreview | null;
  /** The options have something to correct, so there is nothing to show. */
  faulty: boolean;
  /** It belongs to what was chosen a moment ago. */
  stale: boolean;
}) {
  const ratio = preview === null ? null : charactersPerToken(preview);
  return (
    <section aria-label="Preview" className="mt-4 border-t border-line pt-3">
      <div className="mb-2 flex flex-wrap items-center justify-between gap-x-4 gap-y-1">
        <h3 className="text-ink-2">
          The first sequences
          {ratio === null ? null : (
            <span className="num text-xs text-ink-3">
              {" "}
              · {formatMetric(ratio, 3)} characters a token here
            </span>
          )}
        </h3>
        <TokenLegend />
      </div>
      {preview ? (
        <ScrollBox
          label="The first sequences"
          className={classNames(
            "h-60 rounded-md border border-line transition-opacity duration-150",
            stale && "opacity-60",
          )}
        >
          <ol>
            {preview.sequences.map((tokens, number) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a sequence has no other identity than its place
              <li key={number} className="border-t border-line px-3 py-2.5 first:border-t-0">
                <TokenChips label={`Sequence ${number + 1}`} tokens={tokens} />
              </li>
            ))}
          </ol>
          {preview.cut.length > 0 ? (
            <p className="border-t border-line px-3 py-2 text-xs text-ink-3">
              Long documents are cut for this preview; the tokenization takes them whole.
            </p>
          ) : null}
        </ScrollBox>
      ) : faulty ? (
        <p className="flex h-60 items-center justify-center rounded-md bg-sunken px-6 text-center text-ink-2">
          Correct what is marked above to see what would be packed.
        </p>
      ) : (
        <Skeleton className="h-60" />
      )}
    </section>
  );
}
