import type { ArchitectureDescription } from "./architecture.ts";

/*
 * Transcoder (Dunefsky et al. 2024, arXiv 2406.11944): encodes one hook point (an MLP's input) and reconstructs another
 * (its output), over any activation.
 *
 *   z = W_enc x + b_enc     f = σ(z)     ŷ = Σ f_i W_dec[i] + b_dec     e = ŷ − y
 * b_dec belongs to the target, so it is never subtracted from the input, and gb_dec = 2/B Σ_t e. Input and target are
 * normalised separately. All else is the base architecture's.
 */
export const transcoder: ArchitectureDescription = {
  label: "Transcoder",
  help: "Predicts one hook point from another, such as an MLP's output from its input.",
  source: "arXiv 2406.11944; SAELens transcoder",
  defaults: { apply_b_dec_to_input: false },
};
