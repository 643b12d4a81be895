import type { ReactNode } from "react";
import type { DatasetDetail } from "../../server/datasets/views.ts";
import { CopyText } from "../_ui/copy-text.tsx";
import { ExplainedFact } from "../_ui/explained-fact.tsx";
import { formatBytes, formatCount, formatDateTime } from "../_ui/format.ts";
import { Fact, Panel } from "../_ui/panel.tsx";
import { SizeHistogram } from "../_ui/size-histogram.tsx";
import { datasetExplanations, sourceWords, splitWords } from "./dataset-words.ts";

function Mono({ children }: { children: ReactNode }) {
  return <span className="num">{children}</span>;
}

/** How long its documents are, how it was read, where it comes from and where it lies. */
export function DatasetFactPanels({ dataset, home }: { dataset: DatasetDetail; home: string | null }) {
  const { statistics, options, source, bytes, status, sha256 } = dataset;
  const folder = home ? `${home.replace(/\/$/, "")}/${dataset.path}` : dataset.path;
  const limits = [
    options.limit_documents === null ? null : `${formatCount(options.limit_documents)} documents`,
    options.limit_characters === null ? null : `${formatCount(options.limit_characters)} characters`,
  ].filter((limit) => limit !== null);
  return (
    <>
      {statistics ? (
        <Panel title="Documents by characters">
          <SizeHistogram {...statistics.lengths} unit="characters" />
        </Panel>
      ) : null}
      {status === "failed" ? null : (
        <Panel title="Reading">
          <dl>
            <ExplainedFact name="Text column" explanation={datasetExplanations.text_column}>
              {statistics ? (
                statistics.columns.text === null ? (
                  "plain text"
                ) : (
                  <Mono>{statistics.columns.text}</Mono>
                )
              ) : (
                <Mono>{options.text_column ?? "automatic"}</Mono>
              )}
            </ExplainedFact>
            {statistics && statistics.columns.meta.length > 0 ? (
              <Fact name="Other columns">
                <Mono>{statistics.columns.meta.join(", ")}</Mono>
              </Fact>
            ) : null}
            {statistics?.columns.text ? null : (
              <ExplainedFact name="Documents in plain text" explanation={datasetExplanations.split_on}>
                {splitWords(options.split_on)}
              </ExplainedFact>
            )}
            {statistics ? (
              <ExplainedFact name="Empty, left out" explanation={datasetExplanations.empty}>
                <Mono>{formatCount(statistics.n_empty)}</Mono>
              </ExplainedFact>
            ) : null}
            <Fact name="Limit">
              {limits.length === 0 ? "none" : limits.join(", ")}
              {statistics?.limited ? (
                <span className="block text-xs text-ink-3">The source has more.</span>
              ) : null}
            </Fact>
          </dl>
        </Panel>
      )}
      <Panel title="Origin">
        <dl>
          <Fact name="Source">{sourceWords(source)}</Fact>
          {source.kind === "hub" ? (
            <>
              <Fact name="Repository">
                <Mono>{source.repo}</Mono>
              </Fact>
              <Fact name="Configuration">
                <Mono>{source.config ?? "its default"}</Mono>
              </Fact>
              <Fact name="Split">
                <Mono>{source.split ?? "its default"}</Mono>
              </Fact>
              <Fact name="Revision">
                <Mono>{source.revision}</Mono>
              </Fact>
              {source.commit ? (
                <Fact name="Commit">
                  <CopyText label="commit" text={source.commit} shown={`${source.commit.slice(0, 12)}…`} />
                </Fact>
              ) : null}
            </>
          ) : null}
          {source.kind === "path" ? (
            <Fact name="Path">
              <CopyText label="path" text={source.path} />
            </Fact>
          ) : null}
          {source.kind === "upload" ? <Fact name="File">{source.file_name}</Fact> : null}
          <Fact name={status === "ready" ? "Imported" : "Begun"}>{formatDateTime(dataset.created_at)}</Fact>
          {bytes === null ? null : (
            <Fact name="On disk">
              <Mono>{formatBytes(bytes)}</Mono>
            </Fact>
          )}
          {status === "ready" ? (
            <Fact name="Folder">
              <CopyText label="folder" text={folder} />
            </Fact>
          ) : null}
          {sha256 ? (
            <Fact name="SHA-256">
              <CopyText label="hash" text={sha256} shown={`${sha256.slice(0, 12)}…`} />
            </Fact>
          ) : null}
        </dl>
      </Panel>
    </>
  );
}
