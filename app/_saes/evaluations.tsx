"use client";

import { Collapsible } from "@base-ui/react/collapsible";
import { useMutation } from "@tanstack/react-query";
import { ChevronRight, Gauge, Trash2, X } from "lucide-react";
import type { SaeDetail, SaeEvaluationView, SaeMeasures } from "../../server/saes/views.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button, IconButton } from "../_ui/button.tsx";
import { formatCount, formatDuration } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { EmptyState, Fact, Panel } from "../_ui/panel.tsx";
import { ProgressBar } from "../_ui/progress-bar.tsx";
import { TimeAgo, useNow } from "../_ui/relative-time.tsx";
import { useToasts } from "../_ui/toasts.tsx";
import { ModelLosses } from "./losses.tsx";
import { furtherMeasures, type Measure, type MeasureGroup, mainMeasures } from "./measure-definitions.ts";
import { furtherModelMeasures, mainModelMeasures } from "./model-measure-definitions.ts";
import { FrequencyHistogram } from "./spread.tsx";

function Figures<Measures>({
  definitions,
  measures,
}: {
  definitions: readonly Measure<Measures>[];
  measures: Measures;
}) {
  return (
    <dl className="mt-3 grid grid-cols-2 gap-x-4 gap-y-2 sm:grid-cols-[1.3fr_1fr_1fr_0.8fr_1.45fr]">
      {definitions.map(({ label, explanation, value }) => (
        <div key={label} className="min-w-0">
          <dt className="flex items-center gap-1.5 text-xs text-ink-3">
            <span className="truncate">{label}</span>
            <InfoTip about={label} explanation={explanation} />
          </dt>
          <dd className="num">{value(measures)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Further<Measures extends { frequency: SaeMeasures["frequency"] }>({
  groups,
  measures,
}: {
  groups: readonly MeasureGroup<Measures>[];
  measures: Measures;
}) {
  return (
    <Collapsible.Root className="mt-3">
      <Collapsible.Trigger className="group flex items-center gap-1.5 rounded-md py-0.5 text-xs text-ink-2 hover:text-ink">
        <ChevronRight
          aria-hidden
          size={13}
          className="text-ink-3 transition-transform duration-100 group-data-panel-open:rotate-90"
        />
        All figures
      </Collapsible.Trigger>
      <Collapsible.Panel>
        <div className="mt-2 gap-8 sm:columns-2">
          {groups.map(({ group, measures: members }) => (
            <div key={group} className="mb-4 break-inside-avoid">
              <h4 className="eyebrow mb-1">{group}</h4>
              <dl>
                {members.map(({ label, explanation, value }) => (
                  <Fact
                    key={label}
                    name={
                      <span className="flex items-center gap-1.5">
                        {label}
                        <InfoTip about={label} explanation={explanation} />
                      </span>
                    }
                  >
                    <span className="num">{value(measures)}</span>
                  </Fact>
                ))}
              </dl>
            </div>
          ))}
        </div>
        <FrequencyHistogram frequency={measures.frequency} on="on these tokens" />
      </Collapsible.Panel>
    </Collapsible.Root>
  );
}

function UnderWay({ evaluation }: { evaluation: SaeEvaluationView }) {
  const now = useNow(500);
  const { progress, started_at, status } = evaluation;
  const seconds = started_at === null ? 0 : (now - Date.parse(started_at)) / 1_000;
  const left = progress > 0.02 ? (seconds * (1 - progress)) / progress : null;
  return (
    <div className="mt-3 max-w-lg">
      <div className="mb-1.5 flex justify-between gap-4 text-xs text-ink-2">
        <span>{status === "queued" ? "Waiting for a worker" : "Measuring"}</span>
        <span className="num">
          {status === "running" ? `${Math.floor(100 * progress)} %` : ""}
          {left === null ? "" : `, ${formatDuration(left)} left`}
        </span>
      </div>
      <ProgressBar label="Progress of the evaluation" value={progress} max={1} />
    </div>
  );
}

/** What it was measured on, in a line. */
function groundOf({ subject, sets }: SaeEvaluationView): string {
  return subject === null
    ? sets.map(({ name }) => name).join(", ")
    : `In ${subject.model.name}, on ${subject.tokenization.name}`;
}

/** On how much, and where. */
function Extent({ evaluation }: { evaluation: SaeEvaluationView }) {
  const { subject, sets, tokens, n_sequences, precision, result, model_result } = evaluation;
  if (subject === null) {
    const rows = result?.tokens ?? Math.min(tokens, sets[0]?.n_tokens ?? tokens);
    return (
      <>
        <span className="num">{formatCount(rows)}</span> tokens
      </>
    );
  }
  return (
    <>
      <span className="num">{subject.hook_name}</span>,{" "}
      <span className="num">{formatCount(n_sequences ?? 0)}</span> held-out sequences
      {precision === null || precision === "f32" ? null : `, weights in ${precision}`}
      {model_result ? (
        <>
          , <span className="num">{formatCount(model_result.n_tokens)}</span> tokens
        </>
      ) : null}
    </>
  );
}

function Row({
  evaluation,
  onChanged,
}: {
  evaluation: SaeEvaluationView;
  onChanged: () => Promise<unknown>;
}) {
  const trpc = useTRPC();
  const { fail } = useToasts();
  const remove = useMutation(
    trpc.saes.deleteEvaluation.mutationOptions({
      onSuccess: onChanged,
      onError: (error) => fail("The evaluation was not deleted", error),
    }),
  );
  const { status, result, model_result, reason } = evaluation;
  const names = groundOf(evaluation);
  const busy = status === "queued" || status === "running";
  return (
    <li className="border-t border-line px-4 py-3.5 first:border-t-0">
      <div className="flex items-start justify-between gap-4">
        <div className="min-w-0">
          <h3 className="font-medium break-words">{names}</h3>
          <p className="text-xs break-words text-ink-3">
            <Extent evaluation={evaluation} />, <TimeAgo iso={evaluation.created_at} />
          </p>
        </div>
        {busy ? (
          <Button
            size="small"
            disabled={remove.isPending}
            onClick={() => remove.mutate({ id: evaluation.id })}
          >
            <X aria-hidden size={13} />
            Cancel
          </Button>
        ) : (
          <IconButton
            label={`Delete the evaluation on ${names}`}
            disabled={remove.isPending}
            onClick={() => remove.mutate({ id: evaluation.id })}
          >
            <Trash2 aria-hidden size={14} />
          </IconButton>
        )}
      </div>
      {busy ? <UnderWay evaluation={evaluation} /> : null}
      {status === "failed" ? (
        <p role="status" className="mt-2 rounded-md bg-bad-soft px-3 py-2 break-words text-bad">
          {reason ?? "The evaluation failed."}
        </p>
      ) : null}
      {result ? (
        <>
          <Figures definitions={mainMeasures} measures={result} />
          <Further groups={furtherMeasures} measures={result} />
        </>
      ) : null}
      {model_result ? (
        <>
          <Figures definitions={mainModelMeasures} measures={model_result} />
          <ModelLosses measures={model_result} />
          <Further groups={furtherModelMeasures} measures={model_result} />
        </>
      ) : null}
    </li>
  );
}

/** What was measured, newest first. */
export function Evaluations({
  sae,
  onEvaluate,
  onChanged,
}: {
  sae: SaeDetail;
  onEvaluate: () => void;
  onChanged: () => Promise<unknown>;
}) {
  const { evaluations } = sae;
  return (
    <Panel
      title="Evaluations"
      flush
      aside={
        evaluations.length > 0 ? <span className="num text-xs text-ink-3">{evaluations.length}</span> : null
      }
    >
      {evaluations.length === 0 ? (
        <EmptyState
          title="Not evaluated yet"
          action={
            sae.needed_sets.length > 0 ? (
              <Button onClick={onEvaluate}>
                <Gauge aria-hidden size={14} />
                Evaluate
              </Button>
            ) : null
          }
        >
          On an activation set an evaluation measures reconstruction, sparsity and the dictionary; in the
          language model, what the model loses with the SAE in it.
        </EmptyState>
      ) : (
        <ul>
          {evaluations.map((evaluation) => (
            <Row key={evaluation.id} evaluation={evaluation} onChanged={onChanged} />
          ))}
        </ul>
      )}
    </Panel>
  );
}
