import { planActivate } from "../kernels/activate.ts";
import { planBatchSelect } from "../kernels/batch-select.ts";
import { planListActive } from "../kernels/list-active.ts";
import { planRowNorms } from "../kernels/row-norms.ts";
import type { Activation } from "./activation.ts";
import type { ArchitectureDescription } from "./architecture.ts";

/*
 * BatchTopK (Bussmann et al. 2024, arXiv 2412.06410): of all B · d_sae activations of a batch the K = floor(k B) largest
 * positive ones are kept, so tokens share features as they need them. Equal activations at the K-th place all stay.
 * With a free decoder and rescale_acts_by_decoder_norm, activations are ranked by z_i ‖W_dec[i]‖ (norms summed over a
 * crosscoder's hook points), and what is said of activations below is said of these.
 *
 * Losses, AuxK and gradients are TopK's, S_t being what token t keeps.
 *
 * Inference has no batch to rank in, so a threshold is learned beside the weights: m ← (1 − r) m + r · (smallest kept
 * activation), r = topk_threshold_lr, θ = m / (1 − (1 − r)^t) (SAELens leaves out the correction, which makes its θ too
 * low in short runs). Exported as JumpReLU with that θ for every feature.
 */
export const batchtopk: ArchitectureDescription = {
  label: "BatchTopK",
  help: "Keeps k features per token on average, more where a token needs them; used as a JumpReLU afterwards.",
  source: "arXiv 2412.06410; SAELens batchtopk",
  defaults: {},
};

export const batchtopkActivation: Activation = {
  async plan({ context, sizes, buffers: b }, purpose) {
    const norms = sizes.rescaled ? b.norms : null;
    const planned = await Promise.all([
      norms === null ? [] : planRowNorms(context, { ...sizes, stride: sizes.point_out }, b),
      purpose === "training" ? planBatchSelect(context, sizes, { ...b, norms }) : [],
      planActivate(
        context,
        sizes,
        purpose === "training"
          ? { rule: "batch", selection: b.selection, norms }
          : { rule: "threshold", control: b.control, norms },
        b,
      ),
      planListActive(context, { ...sizes, plane: 0 }, b),
    ]);
    return planned.flat();
  },
  gradient: () => ({}),
};
