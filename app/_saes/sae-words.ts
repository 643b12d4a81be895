import { architectures } from "../../gpu/sae/architecture.ts";
import { architectureDescriptions } from "../../gpu/sae/config.ts";
import type { SaeActivation, SaeNormalization } from "../../gpu/sae/sae.ts";
import type { WritableFormat } from "../../server/formats/formats.ts";
import type { SaeFormat } from "../../server/formats/sae-source.ts";
import type { SaeSummary } from "../../server/saes/views.ts";
import { formatCount, noValue } from "../_ui/format.ts";

// How the studio says what an SAE is and where it comes from.

export const formatNames: Record<SaeFormat, string> = {
  saelens: "SAELens",
  facet: "Facet",
  dictionary_learning: "dictionary_learning",
  sparsify: "sparsify",
  gemma_scope: "Gemma Scope",
  gemma_scope_2: "Gemma Scope 2",
  openai: "OpenAI",
};

export const exportHelp: Record<WritableFormat, string> = {
  saelens: "cfg.json, sae_weights.safetensors, sparsity.safetensors; SAE.load_from_disk takes it as it is.",
  facet: "The same files for every architecture; where SAELens has no words for one, only Facet reads it.",
  sparsify: "cfg.json and sae.safetensors, as EleutherAI's sparsify keeps a TopK SAE of one hook point.",
};

export const activationNames: Record<SaeActivation, string> = {
  relu: "ReLU",
  gated: "Gated",
  jumprelu: "JumpReLU",
  topk: "TopK",
};

export const normalizationNames: Record<SaeNormalization, string> = {
  none: "none",
  constant_norm_rescale: "each token to norm √d_in",
  layer_norm: "layer norm of each token",
};

/** "matryoshka_batchtopk" → "Matryoshka BatchTopK"; a name that is nobody's stays as it is. */
export function architectureName(architecture: string | null): string {
  const known = architectures.find((one) => one === architecture);
  return known ? architectureDescriptions[known].label : (architecture ?? noValue);
}

/** "768 → 6,144", with what comes out where that is of another width. */
export function widthsOf({ d_in, d_out, d_sae }: Pick<SaeSummary, "d_in" | "d_out" | "d_sae">): string {
  if (d_in === null || d_sae === null) return noValue;
  const out = d_out === null || d_out === d_in ? "" : ` → ${formatCount(d_out)}`;
  return `${formatCount(d_in)} → ${formatCount(d_sae)}${out}`;
}

/** "Trained here", or the layout it was imported from. */
export function provenance({ run, format }: Pick<SaeSummary, "run" | "format">): string {
  return run ? "Trained here" : formatNames[format];
}
