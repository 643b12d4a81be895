import { caseName } from "./cases.ts";
import { columns, figure, range } from "./columns.ts";
import { kernelRows } from "./kernel-rows.ts";
import { lmTable } from "./lm-table.ts";
import type { CaseResult, SuiteResult } from "./suite.ts";

/** The result as tables for a terminal. */
export function formatSuite({ capabilities, quick, roofs, cases, lm }: SuiteResult): string {
  const { adapter, driver, software } = capabilities;
  return [
    `${adapter}${driver && driver !== adapter ? `, ${driver}` : ""}${software ? " (software: runs on the CPU)" : ""}`,
    ...(quick ? ["A quick run: too short to compare with another."] : []),
    `Roofs: copy ${range(roofs.copy_bytes_per_second, 1e9)} GB/s (read + written), ` +
      `f32 multiply-add ${range(roofs.fma_flops_per_second, 1e9)} GFLOP/s. Medians, [least – most].`,
    ...(cases.length > 0 ? ["", caseTable(cases)] : []),
    ...cases.flatMap((result) => ["", ...kernelTable(result)]),
    ...(lm.length > 0 ? ["", lmTable(lm)] : []),
    "",
    "% of roof = time the roof allows / median time taken; the roof allows max(bytes / copy rate, flops / multiply-add rate).",
    "Bytes and flops are what the algorithm needs; work that stays in a cache can pass 100 % of a memory roof.",
  ].join("\n");
}

function caseTable(cases: readonly CaseResult[]): string {
  return columns([
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
  ]);
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
  return [`${caseName(result.case)}: kernels of one step, by ${result.clock}`, kernelRows(result)];
}
