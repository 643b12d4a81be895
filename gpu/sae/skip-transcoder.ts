import type { ArchitectureDescription } from "./architecture.ts";

/*
 * Skip transcoder (Paulo et al. 2025, arXiv 2501.18823): a transcoder with a linear path beside the features.
 *
 *   ŷ = Σ f_i W_dec[i] + W_skip x + b_dec     W_skip [d_out, d_in], zero at the start     gW_skip = 2/B Σ_t e xᵀ
 */
export const skipTranscoder: ArchitectureDescription = {
  label: "Skip transcoder",
  help: "A transcoder with a linear path from input to output, so that features explain only what is not linear.",
  source: "arXiv 2501.18823; SAELens skip_transcoder",
  defaults: { apply_b_dec_to_input: false },
};
