import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatCompact, formatMetric } from "../_ui/format.ts";
import { smooth } from "./smoothing.ts";

export interface PlotSeries {
  label: string;
  /** CSS variable that holds its colour, e.g. "--chart-1". */
  color: string;
  values: readonly number[];
}

export interface PlotData {
  /** Rising; the same length as every series. */
  steps: readonly number[];
  series: readonly PlotSeries[];
  /** Weight of the past in the moving average, 0 (off) to below 1. */
  smoothing: number;
}

/** Steps shown, or null for all of them. */
export type Zoom = readonly [from: number, to: number] | null;

export interface PlotOptions {
  width: number;
  height: number;
  logarithmic: boolean;
  /** How ticks are written; plain numbers otherwise. */
  tick?: ((value: number) => string) | undefined;
  /** Plots with the same key share crosshair and zoom. */
  syncKey: string;
  zoom: Zoom;
  /** Index into `steps` under the crosshair, or null. */
  onCursor(index: number | null): void;
  onZoom(zoom: Zoom): void;
}

function cssColor(variable: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

/** Values as drawn: gaps where they are not finite, or where a logarithm does not exist. */
function drawable(values: readonly number[], logarithmic: boolean): (number | null)[] {
  return values.map((value) => (Number.isFinite(value) && (!logarithmic || value > 0) ? value : null));
}

/** The first series is the one to see, so it is drawn last, over the others. */
function drawingOrder(series: readonly PlotSeries[]): PlotSeries[] {
  return [...series].reverse();
}

/** [steps, raw of each series, moving average of each series]; the averages only while smoothing. */
function columns({ steps, series, smoothing }: PlotData, logarithmic: boolean): uPlot.AlignedData {
  const raw = drawingOrder(series).map(({ values }) => drawable(values, logarithmic));
  const averaged = smoothing > 0 ? raw.map((values) => smooth(values, smoothing)) : [];
  return [[...steps], ...raw, ...averaged];
}

/** Linear range with a little air; a constant is put in the middle. */
function linearRange(_plot: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null) return [0, 1];
  const air = max > min ? (max - min) * 0.08 : Math.abs(max) * 0.1 || 1;
  const low = min - air;
  return [min >= 0 ? Math.max(0, low) : low, max + air];
}

/** Logarithmic range that follows the values and not whole decades; at least a factor of 1.3. */
function logarithmicRange(_plot: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  if (min === null || max === null || min <= 0) return [0.1, 1];
  const air = Math.max((max / min) ** 0.06, 1.14);
  return [min / air, max * air];
}

/** 1, 2 or 5 times a power of ten, at least `rough`. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((mantissa) => mantissa * power >= rough) ?? 10);
}

/**
 * Ticks of a logarithmic axis. Over several decades their powers of ten, with 1, 2, 5 between; within less than one,
 * where those would be too few to read, even steps.
 */
function logarithmicSplits(_plot: uPlot, _axis: number, min: number, max: number): number[] {
  const decades = Math.log10(max / min);
  const splits: number[] = [];
  if (decades < 0.8) {
    const step = niceStep((max - min) / 5);
    for (let tick = Math.ceil(min / step); tick * step <= max; tick += 1) splits.push(tick * step);
    return splits;
  }
  const mantissas = decades > 3 ? [1] : decades > 1.8 ? [1, 3] : [1, 2, 5];
  for (let exponent = Math.floor(Math.log10(min)); exponent <= Math.ceil(Math.log10(max)); exponent += 1) {
    for (const mantissa of mantissas) {
      const value = mantissa * 10 ** exponent;
      if (value >= min && value <= max) splits.push(value);
    }
  }
  return splits;
}

/** A tick without a unit, short enough for the axis. */
function tickLabel(value: number): string {
  const magnitude = Math.abs(value);
  if (value === 0) return "0";
  if (magnitude >= 1_000) return formatCompact(value);
  if (magnitude < 1e-3) return Number(value.toPrecision(3)).toExponential();
  return String(Number(formatMetric(value, 3)));
}

/** uPlot with the studio's axes, crosshair and zoom; colours are read from the page once, at construction. */
export class LinePlot {
  readonly #plot: uPlot;
  readonly #logarithmic: boolean;
  readonly #onZoom: (zoom: Zoom) => void;
  #zoom: Zoom;

  constructor(element: HTMLElement, data: PlotData, options: PlotOptions) {
    this.#logarithmic = options.logarithmic;
    this.#onZoom = options.onZoom;
    this.#zoom = options.zoom;
    this.#plot = new uPlot(this.#options(data, options), columns(data, this.#logarithmic), element);
    if (this.#zoom) this.#plot.setScale("x", { min: this.#zoom[0], max: this.#zoom[1] });
  }

  /** New values of the same series; a zoom stays, otherwise all steps are shown. */
  setData(data: PlotData): void {
    this.#plot.setData(columns(data, this.#logarithmic), this.#zoom === null);
    // Without new scales uPlot keeps the old paths on screen.
    if (this.#zoom) this.#plot.redraw(true, false);
  }

  setWidth(width: number): void {
    if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: this.#plot.height });
  }

  showAll(): void {
    const steps = this.#plot.data[0];
    const first = steps[0];
    const last = steps.at(-1);
    if (first !== undefined && last !== undefined) this.#plot.setScale("x", { min: first, max: last });
  }

  destroy(): void {
    this.#plot.destroy();
  }

  #noteZoom(plot: uPlot): void {
    const steps = plot.data[0];
    const { min, max } = plot.scales.x ?? {};
    const first = steps[0];
    const last = steps.at(-1);
    if (min === undefined || max === undefined || first === undefined || last === undefined) return;
    const zoom: Zoom = min > first || max < last ? [min, max] : null;
    if (zoom?.[0] === this.#zoom?.[0] && zoom?.[1] === this.#zoom?.[1]) return;
    this.#zoom = zoom;
    this.#onZoom(zoom);
  }

  #options(data: PlotData, options: PlotOptions): uPlot.Options {
    const axis: uPlot.Axis = {
      stroke: cssColor("--ink-3"),
      font: `11px ${cssColor("--font-geist-mono") || "monospace"}`,
      grid: { stroke: cssColor("--line"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    const faint = data.smoothing > 0;
    const raw = drawingOrder(data.series).map(
      ({ label, color }): uPlot.Series => ({
        label,
        stroke: cssColor(color),
        width: faint ? 1 : 1.5,
        alpha: faint ? 0.28 : 1,
        points: { show: false },
      }),
    );
    const averaged = faint
      ? drawingOrder(data.series).map(
          ({ label, color }): uPlot.Series => ({
            label: `${label}, smoothed`,
            stroke: cssColor(color),
            width: 1.75,
            points: { show: false },
          }),
        )
      : [];
    return {
      width: options.width,
      height: options.height,
      legend: { show: false },
      padding: [10, 16, 0, 0],
      cursor: {
        points: { size: 6, width: 1.5 },
        drag: { x: true, y: false },
        sync: { key: options.syncKey, scales: ["x", null] },
        y: false,
      },
      scales: {
        x: { time: false },
        y: options.logarithmic ? { distr: 3, range: logarithmicRange } : { range: linearRange },
      },
      axes: [
        {
          ...axis,
          size: 26,
          space: 64,
          values: (_plot, splits) => splits.map((step) => formatCompact(step)),
        },
        {
          ...axis,
          size: 52,
          space: 34,
          values: (_plot, splits) =>
            splits.map((value) => (value === null ? "" : (options.tick ?? tickLabel)(value))),
          ...(options.logarithmic ? { splits: logarithmicSplits, filter: (_plot, splits) => splits } : {}),
        },
      ],
      series: [{}, ...raw, ...averaged],
      hooks: {
        setCursor: [(plot) => options.onCursor(plot.cursor.idx ?? null)],
        setScale: [(plot, key) => key === "x" && this.#noteZoom(plot)],
      },
    };
  }
}
