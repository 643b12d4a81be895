import { columns, figure } from "./columns.ts";
import { kernelRows } from "./kernel-rows.ts";
import { lmCaseName } from "./lm-cases.ts";
import type { LmCaseResult } from "./suite.ts";

/** Forward passes to the last block, then the kernels of each. */
export function lmTable(results: readonly LmCaseResult[]): string {
  return [
    columns([
      [
        ...["model", "layers", "d_model", "weights", "tokens", "tokens/s", "[least – most]", "MFLOP/token"],
        ...["GFLOP/s", "% of f32 roof", "MiB", "load s"],
      ],
      ...results.map(row),
    ]),
    ...results.flatMap((result) => [
      "",
      `${lmCaseName(result.case)}: kernels of one pass, by ${result.clock}`,
      kernelRows(result),
    ]),
  ].join("\n");
}

function row(result: LmCaseResult): string[] {
  const { case: of, tokens_per_second: tokens } = result;
  return [
    of.name,
    String(result.n_layers),
    String(result.d_model),
    of.precision,
    `${of.n_sequences} × ${of.length}`,
    figure(tokens.median),
    `[${figure(tokens.min)} – ${figure(tokens.max)}]`,
    figure(result.flops_per_token / 1e6),
    figure(result.flops_per_second / 1e9),
    result.percent_of_roof.toFixed(1),
    figure(result.gpu_bytes / 2 ** 20),
    figure(result.load_seconds),
  ];
}
