import { columns, figure } from "./columns.ts";
import type { KernelResult } from "./suite.ts";

/** Kernels by the time they take. */
export function kernelRows({
  kernels,
  kernels_ms,
}: {
  kernels: readonly KernelResult[];
  kernels_ms: number;
}): string {
  return columns([
    ["kernel", "calls", "ms", "[least – most]", "% of kernels", "GB/s", "GFLOP/s", "bound", "% of roof"],
    ...kernels
      .toSorted((a, b) => b.ms.median - a.ms.median)
      .map((kernel) => [
        kernel.label,
        String(kernel.calls),
        figure(kernel.ms.median),
        `[${figure(kernel.ms.min)} – ${figure(kernel.ms.max)}]`,
        ((100 * kernel.ms.median) / kernels_ms).toFixed(1),
        figure(kernel.bytes_per_second / 1e9),
        figure(kernel.flops_per_second / 1e9),
        kernel.bound,
        kernel.bound === "idle" ? "" : kernel.percent_of_roof.toFixed(1),
      ]),
  ]);
}
