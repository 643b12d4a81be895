import type { TrainingConfig, TrainingConfigInput } from "./config.ts";

/** How a pre-activation becomes an activation: the SAE architectures proper. */
export const baseArchitectures = [
  "standard",
  "gated",
  "jumprelu",
  "topk",
  "batchtopk",
  "matryoshka_batchtopk",
] as const;
export type BaseArchitecture = (typeof baseArchitectures)[number];

/** Everything that can be trained. The last three take their activation from `base_architecture`. */
export const architectures = [...baseArchitectures, "transcoder", "skip_transcoder", "crosscoder"] as const;
export type Architecture = (typeof architectures)[number];

/** What one architecture's file says of itself. */
export interface ArchitectureDescription {
  label: string;
  /** One sentence for forms and help. */
  help: string;
  source: string;
  /** Options whose default differs from the schema's. */
  defaults: Partial<TrainingConfigInput>;
}

/** The activation a configuration trains with: its own, or that of the transcoder's or crosscoder's base. */
export function baseOf({
  architecture,
  base_architecture,
}: Pick<TrainingConfig, "architecture" | "base_architecture">): BaseArchitecture {
  return isBase(architecture) ? architecture : base_architecture;
}

export function isBase(architecture: Architecture): architecture is BaseArchitecture {
  return (baseArchitectures as readonly string[]).includes(architecture);
}

export function isTranscoder(architecture: Architecture): boolean {
  return architecture === "transcoder" || architecture === "skip_transcoder";
}

/** Columns of the encoder's input, and of what is reconstructed; hook points side by side. */
export function widthsOf(config: Pick<TrainingConfig, "architecture" | "d_in" | "d_out" | "n_hook_points">): {
  input: number;
  output: number;
} {
  const { architecture, d_in, d_out, n_hook_points } = config;
  if (architecture === "crosscoder") return { input: n_hook_points * d_in, output: n_hook_points * d_in };
  return { input: d_in, output: isTranscoder(architecture) ? (d_out ?? d_in) : d_in };
}

/** Columns of a row of the source: input and target side by side for a transcoder, all hook points for a crosscoder. */
export function sourceWidth(
  config: Pick<TrainingConfig, "architecture" | "d_in" | "d_out" | "n_hook_points">,
): number {
  const { input, output } = widthsOf(config);
  return isTranscoder(config.architecture) ? input + output : input;
}
