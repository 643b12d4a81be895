import Link from "next/link";
import type { TokenizationView } from "../../server/tokens/views.ts";
import { usesWords } from "../_models/model-words.ts";
import { CopyText } from "../_ui/copy-text.tsx";
import { ExplainedFact } from "../_ui/explained-fact.tsx";
import { formatBytes, formatCount, formatDateTime, formatMetric, formatPercent } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Fact, Panel } from "../_ui/panel.tsx";
import { SizeHistogram } from "../_ui/size-histogram.tsx";
import { bosLabels, remainderLabels, separatorLabels, tokenExplanations } from "./token-words.ts";

/** What the sequences are made of, as a bar of shares and in numbers. */
export function TokenCounts({ tokenization }: { tokenization: TokenizationView }) {
  const { n_text_tokens, n_special_tokens, n_padding_tokens } = tokenization;
  const parts = [
    { name: "Text", explanation: tokenExplanations.text, count: n_text_tokens ?? 0, fill: "bg-chart-1" },
    {
      name: "Special",
      explanation: tokenExplanations.special,
      count: n_special_tokens ?? 0,
      fill: "bg-chart-2",
    },
    {
      name: "Padding",
      explanation: tokenExplanations.padding,
      count: n_padding_tokens ?? 0,
      fill: "bg-ink-3",
    },
  ];
  const total = parts.reduce((sum, { count }) => sum + count, 0);
  const share = (count: number) => (total === 0 ? 0 : count / total);
  return (
    <section aria-label="Tokens" className="mb-4 rounded-lg border border-line bg-surface px-4 py-3.5">
      <div aria-hidden className="flex h-2 gap-px overflow-hidden rounded-full bg-hover">
        {parts.map(({ name, count, fill }) =>
          count === 0 ? null : (
            <div key={name} className={fill} style={{ width: `max(3px, ${100 * share(count)}%)` }} />
          ),
        )}
      </div>
      <dl className="mt-3 grid grid-cols-2 gap-x-6 gap-y-3 sm:grid-cols-5">
        {parts.map(({ name, explanation, count, fill }) => (
          <div key={name}>
            <dt className="flex items-center gap-1.5 text-xs text-ink-3">
              <span aria-hidden className={`size-2 rounded-[2px] ${fill}`} />
              {name}
              <InfoTip about={name} explanation={explanation} />
            </dt>
            <dd className="num mt-0.5 text-base">{formatCount(count)}</dd>
            <dd className="num text-xs text-ink-3">{formatPercent(share(count))}</dd>
          </div>
        ))}
        <div>
          <dt className="text-xs text-ink-3">Sequences</dt>
          <dd className="num mt-0.5 text-base">{formatCount(tokenization.n_sequences ?? 0)}</dd>
          <dd className="num text-xs text-ink-3">{formatCount(tokenization.context_size)} tokens each</dd>
        </div>
        <div>
          <dt className="flex items-center gap-1.5 text-xs text-ink-3">
            Held out
            <InfoTip about="Held out" explanation={tokenExplanations.held_out} />
          </dt>
          <dd className="num mt-0.5 text-base">{formatCount(tokenization.held_out_sequences ?? 0)}</dd>
          <dd className="text-xs text-ink-3">at the end</dd>
        </div>
      </dl>
    </section>
  );
}

/** How it was packed, what of, and what lies where. */
export function TokenFactPanels({
  tokenization,
  home,
}: {
  tokenization: TokenizationView;
  home: string | null;
}) {
  const { dataset, model, options, statistics, bytes, uses, id, status } = tokenization;
  const folder = `${home ? `${home.replace(/\/$/, "")}/` : ""}tokenizations/${id}`;
  return (
    <>
      <Panel title="Packing">
        <dl>
          <Fact name="Model">
            <Link
              href={`/models/${model.id}`}
              className="underline decoration-line-strong underline-offset-2 hover:decoration-ink"
            >
              {model.name}
            </Link>
          </Fact>
          <Fact name="Dataset">
            <Link
              href={`/datasets/${dataset.id}`}
              className="underline decoration-line-strong underline-offset-2 hover:decoration-ink"
            >
              {dataset.name}
            </Link>
          </Fact>
          <ExplainedFact name="Context size" explanation={tokenExplanations.context_size}>
            <span className="num">{formatCount(options.context_size)}</span> tokens
          </ExplainedFact>
          <ExplainedFact name="BOS" explanation={tokenExplanations.bos}>
            {bosLabels[options.bos]}
          </ExplainedFact>
          <ExplainedFact name="Between documents" explanation={tokenExplanations.separator}>
            {separatorLabels[options.separator]}
          </ExplainedFact>
          <ExplainedFact name="Last sequence" explanation={tokenExplanations.remainder}>
            {remainderLabels[options.remainder]}
          </ExplainedFact>
          <ExplainedFact name="Held out" explanation={tokenExplanations.held_out}>
            <span className="num">{formatPercent(options.held_out, 0)}</span>
          </ExplainedFact>
        </dl>
      </Panel>
      {statistics ? (
        <Panel title="Documents by tokens">
          <SizeHistogram {...statistics.document_tokens} unit="tokens" />
          <dl className="mt-3">
            <Fact name="Documents">
              <span className="num">{formatCount(tokenization.n_documents ?? 0)}</span>
            </Fact>
            <Fact name="Characters a token">
              <span className="num">
                {formatMetric(
                  statistics.tokens_per_character === 0 ? null : 1 / statistics.tokens_per_character,
                  3,
                )}
              </span>
            </Fact>
            <Fact name="Dropped at the end">
              <span className="num">{formatCount(statistics.n_dropped_tokens)}</span> tokens
            </Fact>
          </dl>
        </Panel>
      ) : null}
      <Panel title="Storage">
        <dl>
          <Fact name="Used by">{usesWords(uses) ?? "nothing yet"}</Fact>
          <Fact name="Made">{formatDateTime(tokenization.created_at)}</Fact>
          {bytes === null ? null : (
            <Fact name="On disk">
              <span className="num">{formatBytes(bytes)}</span>
            </Fact>
          )}
          {status === "ready" ? (
            <Fact name="Folder">
              <CopyText label="folder" text={folder} />
            </Fact>
          ) : null}
          <Fact name="Hash">
            <CopyText label="hash" text={tokenization.hash} shown={`${tokenization.hash.slice(0, 12)}…`} />
          </Fact>
        </dl>
      </Panel>
    </>
  );
}
