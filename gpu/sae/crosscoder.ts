import type { ArchitectureDescription } from "./architecture.ts";

/*
 * Crosscoder (Lindsey et al. 2024, Anthropic, Sparse Crosscoders): one dictionary over M hook points side by side, of one
 * model or of several.
 *
 *   z = Σ_m W_enc[m] x_m + b_enc     f = σ(z)     x̂_m = Σ_i f_i W_dec[i, m] + b_dec[m]     mse_loss = 1/B Σ_m Σ_t ‖e_m‖²
 * It is an SAE on rows of width M · d_in but for the norm in penalties, N_i = Σ_m ‖W_dec[i, m]‖ instead of ‖W_dec[i]‖,
 * whose gradient is W_dec[i, m] / ‖W_dec[i, m]‖ for each hook point by itself. Each hook point is scaled by itself.
 */
export const crosscoder: ArchitectureDescription = {
  label: "Crosscoder",
  help: "One dictionary for several hook points, to see which features they share.",
  source: "Anthropic, Sparse Crosscoders for Cross-Layer Features and Model Diffing, October 2024",
  defaults: {
    base_architecture: "standard",
    apply_b_dec_to_input: false,
    decoder_norm: "free",
    l1_coefficient: 2,
  },
};
