/** How the studio writes numbers, times and sizes: one form each, of stable width where it changes live. */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

/** What stands where there is no value. */
export const noValue = "–";

/** 131072 → "131,072". */
export function formatCount(value: number): string {
  return whole.format(value);
}

/** 1310720 → "1.31M". */
export function formatCompact(value: number): string {
  return compact.format(value);
}

/** A metric with `digits` significant digits; very large and very small values in exponent form. */
export function formatMetric(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return noValue;
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e6 || magnitude < 1e-4)
    return value.toExponential(Math.max(0, digits - 2)).replace("e+", "e");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(magnitude)));
  return value.toFixed(Math.min(decimals, 6));
}

/** 0.1234 → "12.3 %". */
export function formatPercent(fraction: number, decimals = 1): string {
  return `${(fraction * 100).toFixed(decimals)}\u00a0%`;
}

/** Bytes in binary units: 2147483648 → "2.00 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** Seconds as a person says them: "45 s", "3 min 05 s", "2 h 07 min", "3 d 4 h". */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3_600) return `${Math.floor(total / 60)} min ${String(total % 60).padStart(2, "0")} s`;
  if (total < 86_400)
    return `${Math.floor(total / 3_600)} h ${String(Math.floor((total % 3_600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(total / 86_400)} d ${Math.floor((total % 86_400) / 3_600)} h`;
}

/** How long ago, in one unit: "now", "40 s", "12 min", "5 h", "3 d". */
export function formatAge(iso: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1_000);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const dateTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "22 Nov 2026, 14:03:09". */
export function formatDateTime(iso: string): string {
  return dateTime.format(new Date(iso));
}

/** "14:03:09". */
export function formatClock(iso: string): string {
  return clock.format(new Date(iso));
}
