import type { SaeHistograms } from "../../gpu/metrics/sae-histograms.ts";
import { formatCount, formatMetric } from "../_ui/format.ts";
import { Histogram } from "./histogram.tsx";

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** −3 → "10⁻³"; between whole powers the number itself, "0.0032". */
function powerOfTen(exponent: number): string {
  if (exponent === 0) return "1";
  if (!Number.isInteger(exponent)) return formatMetric(10 ** exponent, 2);
  const digits = [...String(Math.abs(exponent))].map((digit) => superscripts[Number(digit)]).join("");
  return `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/** About five round numbers in a range. */
function roundTicks(from: number, to: number): number[] {
  const rough = (to - from) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((mantissa) => mantissa * power >= rough) ?? 10);
  const ticks: number[] = [];
  for (let at = Math.ceil(from / step); at * step <= to; at++) ticks.push(Number((at * step).toPrecision(6)));
  return ticks;
}

/** How often features fire. */
export function FrequencyHistogram({
  frequency,
  on,
}: {
  frequency: NonNullable<SaeHistograms["frequency"]>;
  /** What it was counted on. */
  on: string;
}) {
  const { from, to, silent } = frequency;
  const every = to - from > 6 ? 2 : 1;
  const ticks = Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, at) => to - at * every);
  return (
    <Histogram
      title="Firing frequency"
      explanation={{
        help: `Features by the share of tokens on which they fire, ${on}, on a logarithmic axis.`,
        formula: "log10(mean_b [f_i > 0])",
        source: "SAELens sparsity",
      }}
      bins={frequency}
      place={powerOfTen}
      ticks={ticks}
      {...(silent > 0
        ? { remark: `${formatCount(silent)} ${silent === 1 ? "feature" : "features"} never fired` }
        : {})}
    />
  );
}

/** How long the decoder rows are. */
export function NormHistogram({ norms }: { norms: SaeHistograms["decoder_norm"] }) {
  return (
    <Histogram
      title="Decoder norm"
      explanation={{
        help: "Features by the norm of their decoder row. All are 1 where training or export makes them so; of a crosscoder over all hook points together.",
        formula: "‖W_dec,i‖₂",
        source: "SAELens",
      }}
      bins={norms}
      place={(value) => String(Number(value.toPrecision(3)))}
      ticks={roundTicks(norms.from, norms.to)}
    />
  );
}
