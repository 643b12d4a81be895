import type { Activation } from "./activation.ts";
import type { ArchitectureDescription } from "./architecture.ts";
import { batchtopkActivation } from "./batchtopk.ts";

/*
 * Matryoshka BatchTopK (Bussmann et al. 2025, arXiv 2503.17547; levels as in SAELens): the first m_1 features, the first
 * m_2, … each reconstruct the input by themselves, m_1 < … < m_G = d_sae.
 *
 * Forward:   f by BatchTopK over all features      x̂_g = b_dec + Σ_{i < m_g} f_i W_dec[i]      e_g = x̂_g − x
 * Loss:      mse_loss = 1/B Σ_g Σ_t ‖e_g‖²          AuxK on e_G, or with use_matryoshka_aux_loss the sum over levels of
 *            AuxK among the dead features below m_g against e_g
 * Gradients by suffix sums H_g = Σ_{g' ≥ g} e_g', for a feature i of block g (m_{g−1} ≤ i < m_g):
 *   dz_i = 2/B ⟨W_dec[i], H_g⟩     gW_dec[i] = 2/B Σ_t f_i H_g     gb_dec = 2/B Σ_t H_1 − …
 * so that all levels cost one decode and one vector per level and token.
 */
export const matryoshkaBatchtopk: ArchitectureDescription = {
  label: "Matryoshka BatchTopK",
  help: "Nested dictionaries that each reconstruct by themselves, so that general features come first and split less.",
  source: "arXiv 2503.17547; SAELens matryoshka_batchtopk",
  defaults: {},
};

/** Sizes of the nested dictionaries: as given, or a sixteenth, an eighth, a quarter, a half and all of d_sae. */
export function matryoshkaWidths(config: { d_sae: number; matryoshka_widths: number[] | null }): number[] {
  if (config.matryoshka_widths !== null) return config.matryoshka_widths;
  const shares = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1].map((share) => Math.floor(share * config.d_sae));
  return [...new Set(shares)].filter((width) => width > 0);
}

export const matryoshkaActivation: Activation = {
  plan: batchtopkActivation.plan,
  gradient: (config) => ({ nested: matryoshkaWidths(config).length > 1 }),
};
