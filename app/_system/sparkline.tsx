/** Seconds after which a missing reading is a gap in the line. */
const gapSeconds = 20;

export interface SparklineProps {
  /** What is drawn, for assistive technology: "CPU, 41 %". */
  label: string;
  /** Times in milliseconds, rising, and values in [0, 1]; null where there is none. */
  points: readonly { at: number; value: number | null }[];
  /** Times at the left and right edge. */
  from: number;
  to: number;
}

const width = 240;
const height = 36;

/** A line over time, of parts of a whole, without axes. */
export function Sparkline({ label, points, from, to }: SparklineProps) {
  const x = (at: number) => (width * (at - from)) / (to - from);
  const y = (value: number) => height - 1 - (height - 2) * Math.min(1, Math.max(0, value));
  let path = "";
  let before: number | null = null;
  for (const { at, value } of points) {
    if (value === null) {
      before = null;
      continue;
    }
    const joined = before !== null && at - before < gapSeconds * 1_000;
    path += `${joined ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    before = at;
  }
  return (
    <svg
      role="img"
      aria-label={label}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      className="h-9 w-full"
    >
      <line x1={0} x2={width} y1={height - 1} y2={height - 1} className="stroke-line" strokeWidth={1} />
      <path
        d={path}
        fill="none"
        stroke="var(--chart-1)"
        strokeWidth={1.5}
        strokeLinejoin="round"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
