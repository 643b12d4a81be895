import type { ModelMeasures } from "../../server/saes/views.ts";
import { classNames } from "../_ui/class-names.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { type Loss, losses, nats } from "./model-measure-definitions.ts";

function look(name: string): string {
  if (name === "spliced") return "bg-accent";
  return name === "clean" ? "bg-ink" : "bg-ink-3";
}

/**
 * Where the loss with the SAE lies between the model's own and that with the mean, or nothing, in its place. Losses that
 * are all the same have no scale, and stand as numbers alone.
 */
export function ModelLosses({ measures }: { measures: ModelMeasures }) {
  const values = losses.map(({ value }) => value(measures));
  const lowest = Math.min(...values);
  const span = Math.max(...values) - lowest;
  const at = (loss: number) => (100 * (loss - lowest)) / span;
  return (
    <div className="mt-3.5">
      {span > 0 ? <Scale measures={measures} at={at} /> : null}
      <dl className="mt-1.5 grid grid-cols-2 gap-x-4 gap-y-2 sm:grid-cols-4">
        {losses.map(({ name, label, explanation, value }) => (
          <div key={name} className="min-w-0">
            <dt className="flex items-center gap-1.5 text-xs text-ink-3">
              <span aria-hidden className={classNames("h-2.5 w-1 shrink-0 rounded-full", look(name))} />
              <span className="truncate">{label}</span>
              <InfoTip about={label} explanation={explanation} />
            </dt>
            <dd className="num">{nats(value(measures))}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function Scale({ measures, at }: { measures: ModelMeasures; at: (loss: number) => number }) {
  const { ce_clean, ce_spliced } = measures;
  // What was spliced lies above the others, which it may well touch.
  const drawn = losses.toSorted(
    (a: Loss, b: Loss) => Number(a.name === "spliced") - Number(b.name === "spliced"),
  );
  const words = losses.map(({ name, value }) => `${name} ${nats(value(measures))}`).join(", ");
  return (
    <div role="img" aria-label={`Losses in nats: ${words}`} className="relative mx-0.5 h-3">
      <div className="absolute inset-x-0 top-1/2 h-0.5 -translate-y-1/2 rounded-full bg-line-strong" />
      <div
        className="absolute top-1/2 h-0.5 -translate-y-1/2 bg-accent"
        style={{
          left: `${at(Math.min(ce_clean, ce_spliced))}%`,
          width: `${Math.abs(at(ce_spliced) - at(ce_clean))}%`,
        }}
      />
      {drawn.map(({ name, value }) => (
        <div
          key={name}
          className={classNames(
            "absolute top-0 h-3 w-1 -translate-x-1/2 rounded-full ring-2 ring-surface",
            look(name),
          )}
          style={{ left: `${at(value(measures))}%` }}
        />
      ))}
    </div>
  );
}
