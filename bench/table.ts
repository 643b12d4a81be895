import { caseName } from "./cases.ts";
import type { CaseResult, SuiteResult } from "./suite.ts";
import type { Summary } from "./summary.ts";

/** The result as tables for a terminal. */
export function formatSuite({ capabilities, quick, roofs, cases }: SuiteResult): string {
  const { adapter, driver, software } = capabilities;
  return [
    `${adapter}${driver && driver !== adapter ? `, ${driver}` : ""}${software ? " (software: runs on the CPU)" : ""}`,
    ...(quick ? ["A quick run: too short to compare with another."] : []),
    `Roofs: copy ${range(roofs.copy_bytes_per_second, 1e9)} GB/s (read + written), ` +
      `f32 multiply-add ${range(roofs.fma_flops_per_second, 1e9)} GFLOP/s. Medians, [least – most].`,
    "",
    columns([
      [
        "architecture",
        "d_in",
        "d_sae",
        "k",
        "batch",
        "tokens/s",
        "[least – most]",
        "steps/s",
        "ms/step",
        "kernels ms",
        "MiB",
        "dead",
      ],
      ...cases.map(caseRow),
    ]),
    ...cases.flatMap((result) => ["", ...kernelTable(result)]),
    "",
    "% of roof = time the roof allows / median time taken; the roof allows max(bytes / copy rate, flops / multiply-add rate).",
    "Bytes and flops are what the algorithm needs; work that stays in a cache can pass 100 % of a memory roof.",
  ].join("\n");
}

function caseRow(result: CaseResult): string[] {
  const { architecture = "topk", d_in, d_sae, k, batch } = result.case;
  const { tokens_per_second: tokens, steps_per_second: steps } = result;
  return [
    ...[architecture, d_in, d_sae, k, batch].map(String),
    figure(tokens.median),
    `[${figure(tokens.min)} – ${figure(tokens.max)}]`,
    figure(steps.median),
    figure(1000 / steps.median),
    figure(result.kernels_ms),
    figure(result.gpu_bytes / 2 ** 20),
    result.dead_features === null ? "" : String(result.dead_features),
  ];
}

function kernelTable(result: CaseResult): string[] {
  const kernels = result.kernels.toSorted((a, b) => b.ms.median - a.ms.median);
  return [
    `${caseName(result.case)}: kernels of one step, by ${result.clock}`,
    columns([
      ["kernel", "calls", "ms", "[least – most]", "% of kernels", "GB/s", "GFLOP/s", "bound", "% of roof"],
      ...kernels.map((kernel) => [
        kernel.label,
        String(kernel.calls),
        figure(kernel.ms.median),
        `[${figure(kernel.ms.min)} – ${figure(kernel.ms.max)}]`,
        ((100 * kernel.ms.median) / result.kernels_ms).toFixed(1),
        figure(kernel.bytes_per_second / 1e9),
        figure(kernel.flops_per_second / 1e9),
        kernel.bound,
        kernel.bound === "idle" ? "" : kernel.percent_of_roof.toFixed(1),
      ]),
    ]),
  ];
}

/** Three significant digits, without exponents. */
function figure(value: number): string {
  if (value === 0) return "0";
  if (value >= 100) return Math.round(value).toLocaleString("en");
  const digits = Math.max(0, 2 - Math.floor(Math.log10(value)));
  return value.toFixed(Math.min(digits, 6));
}

function range({ median, min, max }: Summary, unit: number): string {
  return `${figure(median / unit)} [${figure(min / unit)} – ${figure(max / unit)}]`;
}

/** Pads to columns: the first to the left, the others to the right. */
function columns(rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  "),
    )
    .join("\n");
}
