"use client";

import { ZoomOut } from "lucide-react";
import { useTheme } from "next-themes";
import { useEffect, useRef, useState } from "react";
import { IconButton } from "../_ui/button.tsx";
import { classNames } from "../_ui/class-names.ts";
import { formatCount, noValue } from "../_ui/format.ts";
import { type Explanation, InfoTip } from "../_ui/info-tip.tsx";
import { LinePlot, type PlotData, type Zoom } from "./line-plot.ts";

const height = 188;
/** Of a line of the legend, where that stands below the head; taken from the plot. */
const legendLine = 18;
/** More do not fit beside the title, nor into one line of a legend. */
const seriesInHead = 2;
const seriesInLine = 3;

interface PlotProps {
  data: PlotData;
  height: number;
  logarithmic: boolean;
  tick: ((value: number) => string) | undefined;
  syncKey: string;
  zoom: Zoom;
  onCursor: (index: number | null) => void;
  onZoom: (zoom: Zoom) => void;
  onReady: (plot: LinePlot | null) => void;
}

/** Owns one canvas from mount to unmount; what cannot change in place comes with a new `key`. */
function Plot(props: PlotProps) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<LinePlot | null>(null);
  const newest = useRef(props);
  const drawn = useRef<PlotData | null>(null);

  useEffect(() => {
    newest.current = props;
  });

  useEffect(() => {
    const box = element.current;
    if (!box) return;
    const { data, height: initial, logarithmic, tick, syncKey, zoom } = newest.current;
    const made = new LinePlot(box, data, {
      width: Math.max(box.clientWidth, 50),
      height: initial,
      logarithmic,
      tick,
      syncKey,
      zoom,
      onCursor: (index) => newest.current.onCursor(index),
      onZoom: (next) => newest.current.onZoom(next),
    });
    plot.current = made;
    drawn.current = data;
    newest.current.onReady(made);
    const observer = new ResizeObserver(([entry]) => {
      if (entry) made.setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(box);
    return () => {
      observer.disconnect();
      plot.current = null;
      newest.current.onReady(null);
      made.destroy();
    };
  }, []);

  const { data } = props;
  useEffect(() => {
    if (drawn.current === data) return;
    const frame = requestAnimationFrame(() => {
      drawn.current = data;
      plot.current?.setData(data);
    });
    return () => cancelAnimationFrame(frame);
  }, [data]);

  // Without values there are no axes to show either.
  const empty = props.data.steps.length === 0;
  return (
    <div
      ref={element}
      className={classNames("w-full overflow-hidden", empty && "invisible")}
      style={{ height: props.height }}
    />
  );
}

/** Each series with its colour and value; a single one needs neither colour nor name. */
function Values({
  title,
  shown,
}: {
  title: string;
  shown: readonly { label: string; color: string; text: string }[];
}) {
  return shown.map(({ label, color, text }) => (
    <span key={label} className="flex items-center gap-1.5">
      {shown.length > 1 ? (
        <>
          <span className="h-0.5 w-2.5 rounded-full" style={{ background: `var(${color})` }} />
          {label === title ? null : <span className="text-ink-3">{label}</span>}
        </>
      ) : null}
      <span>{text}</span>
    </span>
  ));
}

export interface ChartProps {
  title: string;
  explanation: Explanation;
  data: PlotData;
  format: (value: number) => string;
  /** How ticks are written; plain numbers otherwise. */
  tick?: (value: number) => string;
  /** Whether the value axis starts logarithmic. */
  logarithmic?: boolean;
  /** Charts with the same key share crosshair and zoom. */
  syncKey: string;
}

/**
 * Lines over steps: values under the crosshair (else the newest) in the head, zoom by drag, all by double-click,
 * linear or logarithmic. The canvas is an image to assistive technology; the same values stand in the data table.
 */
export function Chart({ title, explanation, data, format, tick, logarithmic = false, syncKey }: ChartProps) {
  const [log, setLog] = useState(logarithmic);
  const [zoom, setZoom] = useState<Zoom>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const { resolvedTheme } = useTheme();
  const plot = useRef<LinePlot | null>(null);

  const at = cursor !== null && cursor < data.steps.length ? cursor : data.steps.length - 1;
  const shown = data.series.map(({ label, color, values }) => {
    const value = values[at];
    return { label, color, text: value === undefined ? noValue : format(value) };
  });
  const step = data.steps[at];
  const summary =
    step === undefined
      ? `${title}: no values yet`
      : `${title} at step ${formatCount(step)}: ${shown.map(({ label, text }) => `${label} ${text}`).join(", ")}`;
  const below = data.series.length > seriesInHead;
  const legendHeight = (data.series.length > seriesInLine ? 2 : 1) * legendLine + 4;
  const shape = `${resolvedTheme}/${log}/${data.smoothing > 0}/${data.series.map(({ label }) => label).join()}`;

  return (
    <figure className="min-w-0 rounded-lg border border-line bg-surface">
      <figcaption className="flex h-10 items-center gap-2 pr-1.5 pl-3.5">
        <span className="font-medium whitespace-nowrap">{title}</span>
        <InfoTip about={title} explanation={explanation} />
        <span
          className="num ml-auto flex min-w-0 items-center gap-3 overflow-hidden text-xs whitespace-nowrap"
          aria-hidden
        >
          {cursor !== null && step !== undefined ? (
            <span className="text-ink-3">{formatCount(step)}</span>
          ) : null}
          {below ? null : <Values title={title} shown={shown} />}
        </span>
        {zoom ? (
          <IconButton
            label={`Show all of ${title}`}
            className="-mr-1"
            onClick={() => plot.current?.showAll()}
          >
            <ZoomOut aria-hidden size={14} />
          </IconButton>
        ) : null}
        <button
          type="button"
          aria-pressed={log}
          aria-label={`Logarithmic ${title}`}
          title="Logarithmic axis"
          onClick={() => setLog(!log)}
          className="num h-6 rounded-md px-1.5 text-2xs text-ink-3 transition-colors duration-100 hover:bg-hover hover:text-ink aria-pressed:bg-hover aria-pressed:text-ink"
        >
          log
        </button>
      </figcaption>
      {below ? (
        <div
          aria-hidden
          className="num flex flex-wrap content-start gap-x-3.5 overflow-hidden px-3.5 text-xs leading-[18px] whitespace-nowrap"
          style={{ height: legendHeight }}
        >
          <Values title={title} shown={shown} />
        </div>
      ) : null}
      <div role="img" aria-label={summary} className="relative px-1 pb-1">
        <Plot
          key={shape}
          data={data}
          height={below ? height - legendHeight : height}
          logarithmic={log}
          tick={tick}
          syncKey={syncKey}
          zoom={zoom}
          onCursor={setCursor}
          onZoom={setZoom}
          onReady={(made) => {
            plot.current = made;
          }}
        />
        {step === undefined ? (
          <p aria-hidden className="absolute inset-0 grid place-items-center text-xs text-ink-3">
            No values yet
          </p>
        ) : null}
      </div>
    </figure>
  );
}
