import { classNames } from "./class-names.ts";

export type ProgressTone = "accent" | "ok" | "warn" | "bad" | "idle";

const fills: Record<ProgressTone, string> = {
  accent: "bg-accent",
  ok: "bg-ok",
  warn: "bg-warn",
  bad: "bg-bad",
  idle: "bg-ink-3",
};

/** A bar from 0 to `max`. */
export function ProgressBar({
  label,
  value,
  max,
  tone = "accent",
  thin = false,
}: {
  label: string;
  value: number;
  max: number;
  tone?: ProgressTone;
  thin?: boolean;
}) {
  const fraction = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={Math.min(value, max)}
      className={classNames("overflow-hidden rounded-full bg-hover", thin ? "h-1" : "h-1.5")}
    >
      <div
        className={classNames(
          "h-full origin-left rounded-full transition-transform duration-300 ease-linear",
          fills[tone],
        )}
        style={{ transform: `scaleX(${fraction})` }}
      />
    </div>
  );
}
