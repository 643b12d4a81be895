import Link from "next/link";
import type { LiveSourceView, RunDetail } from "../../server/runs/views.ts";
import { HookName } from "../_activations/hook-name.tsx";
import { modelExplanations, precisions } from "../_models/model-words.ts";
import { tokensPage } from "../_tokenizations/token-words.ts";
import { ExplainedFact } from "../_ui/explained-fact.tsx";
import { formatCount, noValue } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Fact } from "../_ui/panel.tsx";
import { placeNames } from "./places.ts";

function Linked({ href, children }: { href: string; children: string }) {
  return (
    <Link href={href} className="text-accent hover:underline">
      {children}
    </Link>
  );
}

function LiveFacts({ live, run }: { live: LiveSourceView; run: RunDetail }) {
  const names = placeNames(run.architecture, live.hooks.length, "Hook point");
  const width = (place: number) => (place === 1 && run.d_out !== run.d_in ? run.d_out : run.d_in);
  return (
    <dl className="gap-8 sm:columns-2">
      <Fact
        name={
          <span className="flex items-center gap-1.5">
            Model
            <InfoTip
              about="Live"
              explanation={{
                help: "The model runs beside the training, and what it computes at the hook points is trained on at once; nothing of it is stored. Held-out sequences are left for the evaluation.",
              }}
            />
          </span>
        }
      >
        <Linked href={`/models/${live.model.id}`}>{live.model.name}</Linked>
      </Fact>
      <Fact name="Dataset">
        <Linked href={`/datasets/${live.dataset.id}`}>{live.dataset.name}</Linked>
      </Fact>
      <Fact name="Tokenization">
        <Linked href={tokensPage({ id: live.tokenization.id, dataset: live.dataset })}>
          {live.tokenization.name}
        </Linked>
      </Fact>
      <ExplainedFact name="Model’s weights" explanation={modelExplanations.precision}>
        {precisions.find(([precision]) => precision === live.precision)?.[1]}
      </ExplainedFact>
      {run.architecture === "crosscoder" ? null : (
        <Fact name="Evaluated in the model">
          {live.eval_every_steps === null ? (
            "after the last step"
          ) : (
            <>
              every <span className="num">{formatCount(live.eval_every_steps)}</span> steps
            </>
          )}
          <span className="num block text-xs text-ink-3">
            at most {formatCount(live.eval_sequences)} sequences
          </span>
        </Fact>
      )}
      {live.hooks.map((hook, place) => (
        <Fact key={hook} name={names[place] ?? "Hook point"}>
          <HookName name={hook} />
          <span className="num block text-xs text-ink-3">width {formatCount(width(place))}</span>
        </Fact>
      ))}
    </dl>
  );
}

/** Where the activations of a run come from; not of a synthetic one. */
export function SourceFacts({ run }: { run: RunDetail }) {
  const { live, activation_sets } = run.source;
  if (live !== null) return <LiveFacts live={live} run={run} />;
  const names = placeNames(run.architecture, activation_sets.length, "Activation set");
  return (
    <dl className="gap-8 sm:columns-2">
      {activation_sets.map(({ id, name, hook_name, d_in }, place) => (
        <Fact key={id} name={names[place] ?? "Activation set"}>
          {name}
          <span className="num block text-xs text-ink-3">
            <HookName name={hook_name} />, {formatCount(d_in)}
          </span>
        </Fact>
      ))}
      <Fact name="Model">{run.model_name ?? noValue}</Fact>
      <Fact name="Dataset">{run.dataset_name ?? noValue}</Fact>
    </dl>
  );
}
