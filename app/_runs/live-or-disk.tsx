"use client";

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Precision } from "../../gpu/lm/precision.ts";
import type { PredictedRate } from "../../server/runs/predict.ts";
import { type CaptureBegun, CaptureDialog } from "../_activations/capture-dialog.tsx";
import { useSettled } from "../_activations/use-settled.ts";
import { errorWords } from "../_data/error-words.ts";
import { useTRPC } from "../_data/trpc.ts";
import { Button } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { formatBytes, formatCount, formatDuration } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";

const predictAfterMs = 300;

function Rate({ rate, what }: { rate: PredictedRate | null; what: string }) {
  if (rate === null) return <span className="text-ink-3">{what}: not measured yet</span>;
  return (
    <span title={rate.from}>
      {what}: <span className="num">{formatCount(rate.tokens_per_second)}</span> tokens/s
    </span>
  );
}

/** "2 min 10 s + 40 s"; what is not known is left away. */
function times(seconds: readonly (number | null)[]): string | null {
  return seconds.includes(null) ? null : seconds.map((one) => formatDuration(one ?? 0)).join(" + ");
}

/** What the run would take live, and what from activations that are captured first. */
export function LiveOrDisk({
  modelId,
  tokenizationId,
  hooks,
  precision,
  trainingTokens,
  onCaptured,
}: {
  modelId: string;
  tokenizationId: string;
  hooks: readonly string[];
  /** Of the model's weights. */
  precision: Precision;
  trainingTokens: number;
  onCaptured: (capture: CaptureBegun) => void;
}) {
  const trpc = useTRPC();
  const [capturing, setCapturing] = useState(false);
  const hookList = hooks.join(" ");
  const asked = useMemo(
    () => ({
      model_id: modelId,
      tokenization_id: tokenizationId,
      hooks: hookList.split(" "),
      precision,
      training_tokens: Math.floor(trainingTokens),
    }),
    [modelId, tokenizationId, hookList, precision, trainingTokens],
  );
  const settled = useSettled(asked, predictAfterMs);
  const prediction = useQuery(
    trpc.runs.predict.queryOptions(settled, {
      enabled: settled.training_tokens >= 1 && settled.hooks[0] !== "",
      placeholderData: keepPreviousData,
      retry: false,
    }),
  );
  const stale = settled !== asked || prediction.isPlaceholderData;
  const known = prediction.data;
  const dialog = (
    <CaptureDialog
      open={capturing}
      onOpenChange={setCapturing}
      given={{ model_id: modelId, tokenization_id: tokenizationId, hooks, precision }}
      onBegun={onCaptured}
    />
  );
  return (
    <section aria-label="Live or from disk" className="mt-4 rounded-lg bg-sunken px-4 py-3">
      <div className="mb-2 flex flex-wrap items-center justify-between gap-2">
        <h3 className="flex items-center gap-1.5 font-medium">
          Live or from disk
          <InfoTip
            about="Live or from disk"
            explanation={{
              help: "Live, the model runs beside the training and nothing is stored; every pass over the tokens costs a pass of the model. From disk, a capture runs the model once and stores what it computes, for as many runs as one likes.",
              note: "Rates are those of the newest runs and captures with this model here.",
            }}
          />
        </h3>
        <Button size="small" onClick={() => setCapturing(true)}>
          Capture these instead
        </Button>
      </div>
      {prediction.isError ? (
        <p role="status" className="text-xs text-bad">
          What it takes could not be predicted: {errorWords(prediction.error)}
        </p>
      ) : known ? (
        <div className={classNames("transition-opacity duration-150", stale && "opacity-60")}>
          <table className="w-full text-left text-xs">
            <thead className="sr-only">
              <tr>
                <th scope="col">Way</th>
                <th scope="col">Rate</th>
                <th scope="col">Time</th>
                <th scope="col">Disk</th>
              </tr>
            </thead>
            <tbody className="align-top">
              <tr className="border-t border-line">
                <th scope="row" className="py-1.5 pr-3 font-medium whitespace-nowrap">
                  Live
                </th>
                <td className="py-1.5 pr-3">
                  <Rate rate={known.live.rate} what="training" />
                </td>
                <td className="num py-1.5 pr-3">{times([known.live.seconds])}</td>
                <td className="py-1.5 text-right whitespace-nowrap">nothing stored</td>
              </tr>
              <tr className="border-t border-line">
                <th scope="row" className="py-1.5 pr-3 font-medium whitespace-nowrap">
                  From disk
                </th>
                <td className="py-1.5 pr-3">
                  <span className="block">
                    <Rate rate={known.disk.capture_rate} what="capture" />
                  </span>
                  <Rate rate={known.disk.rate} what="training" />
                </td>
                <td className="num py-1.5 pr-3">{times([known.disk.capture_seconds, known.disk.seconds])}</td>
                <td className="num py-1.5 text-right whitespace-nowrap">
                  {formatBytes(known.disk.bytes)}
                  {known.disk.free_bytes === null ? null : (
                    <span className="block text-ink-3">of {formatBytes(known.disk.free_bytes)} free</span>
                  )}
                </td>
              </tr>
            </tbody>
          </table>
          <p className="mt-2 border-t border-line pt-2 text-ink-2">{known.advice}</p>
        </div>
      ) : (
        <p role="status" className="text-xs text-ink-3">
          Looking at what has been measured…
        </p>
      )}
      {dialog}
    </section>
  );
}
