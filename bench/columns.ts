import type { Summary } from "./summary.ts";

/** Three significant digits, without exponents. */
export function figure(value: number): string {
  if (value === 0) return "0";
  if (value >= 100) return Math.round(value).toLocaleString("en");
  const digits = Math.max(0, 2 - Math.floor(Math.log10(value)));
  return value.toFixed(Math.min(digits, 6));
}

export function range({ median, min, max }: Summary, unit: number): string {
  return `${figure(median / unit)} [${figure(min / unit)} – ${figure(max / unit)}]`;
}

/** Pads to columns: the first to the left, the others to the right. */
export function columns(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  "),
    )
    .join("\n");
}
