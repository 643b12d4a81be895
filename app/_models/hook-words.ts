import type { BlockHook } from "../../gpu/lm/hook-points.ts";

/** What is read at a hook point of a block. */
export const hookWords: Record<BlockHook, string> = {
  hook_resid_pre: "Residual stream before the block",
  "ln1.hook_normalized": "Normalised, as attention reads it",
  "attn.hook_z": "Each head’s weighted values",
  hook_attn_out: "What attention adds",
  hook_resid_mid: "Residual stream between attention and MLP",
  hook_mlp_in: "Residual stream that the MLP reads",
  "ln2.hook_normalized": "Normalised, as the MLP reads it",
  "mlp.hook_post": "MLP neurons after their activation",
  hook_mlp_out: "What the MLP adds",
  hook_resid_post: "Residual stream after the block",
};
