import { planActivate } from "../kernels/activate.ts";
import { planListActive } from "../kernels/list-active.ts";
import type { Activation } from "./activation.ts";
import type { ArchitectureDescription } from "./architecture.ts";

/*
 * JumpReLU (Rajamanoharan et al. 2024, arXiv 2407.14435; penalties also of dictionary_learning and Anthropic 2025).
 *
 * Forward:   z = W_enc x̄ + b_enc     f_i = z_i [z_i > θ_i]     θ_i ≥ 0, trained directly
 * Loss:      mse_loss = 1/B Σ ‖e‖², and one of
 *   step       sparsity_loss = λ/B Σ_t Σ_i [z_i > θ_i]
 *   quadratic  sparsity_loss = λ (ℓ/ℓ* − 1)²,  ℓ the mean L0 of the batch, ℓ* = target_l0
 *   tanh       sparsity_loss = λ/B Σ_t Σ_i tanh(c f_i ‖W_dec[i]‖)
 * and        aux_loss = λ_P/B Σ_t Σ_{i dead} max(θ_i − z_i, 0) ‖W_dec[i]‖     pre_act_loss_coefficient
 *
 * Gradients. Steps have none, so θ gets straight-through estimates with the kernel K(u) = [|u| < 1/2], ε the bandwidth,
 * K_i = K((z_i − θ_i)/ε):  ∂f_i/∂z_i = [z_i > θ_i], ∂f_i/∂θ_i = −(θ_i/ε) K_i, ∂[z_i > θ_i]/∂θ_i = −K_i/ε.
 *   df_i = 2/B ⟨W_dec[i], e⟩ + (tanh: λ c/B ‖W_dec[i]‖ s_i, s_i = 1 − tanh²(c f_i ‖W_dec[i]‖))
 *   dz_i = [z_i > θ_i] df_i − λ_P/B ‖W_dec[i]‖ [i dead][z_i < θ_i]
 *   gθ_i = Σ_t −(θ_i/ε) K_i df_i − (step: λ/B, quadratic: 2λ(ℓ/ℓ* − 1)/(ℓ* B)) Σ_t K_i/ε
 *          + λ_P/B ‖W_dec[i]‖ Σ_t [i dead][z_i < θ_i]
 *   gW_dec[i] = 2/B Σ_t f_i e + (tanh: λ c/B Σ_t s_i f_i + λ_P/B Σ_t [i dead] max(θ_i − z_i, 0)) W_dec[i]/‖W_dec[i]‖
 * In ⟨W_dec[i], e⟩ of gθ and in its s_i, a token within the window but below θ counts with f_i = 0.
 * After its step θ is held at or above zero, where the paper's ReLU on z changes nothing.
 */
export const jumprelu: ArchitectureDescription = {
  label: "JumpReLU",
  help: "Each feature has a threshold of its own, trained by straight-through estimates.",
  source: "arXiv 2407.14435; Anthropic, Circuits Updates, January 2025; SAELens jumprelu",
  defaults: { decoder_norm: "free", pre_act_loss_coefficient: 3e-6, l0_coefficient: 1 },
};

export const jumpreluActivation: Activation = {
  plan: ({ context, config, sizes, buffers: b }) =>
    Promise.all([
      planActivate(
        context,
        sizes,
        { rule: "jumprelu", parameters: b.feature_parameters, bandwidth: config.jumprelu_bandwidth },
        b,
      ),
      planListActive(context, { ...sizes, plane: 0 }, b),
    ]),
  gradient({ jumprelu_sparsity_loss_mode: mode, pre_act_loss_coefficient }) {
    return {
      jumprelu: true,
      [`${mode}_penalty`]: true,
      penalized: mode === "tanh" || pre_act_loss_coefficient > 0,
    };
  },
};
