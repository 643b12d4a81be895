import type { AdamOptions } from "./training/adam.ts";
import type { Cycle } from "./training/schedule.ts";
import type { Shape } from "./training/shape.ts";

/** What a training follows from. */
export interface TrainingRecipe {
  shape: Shape;
  /** Of the text that is trained on, and of the first parameters. */
  training_seed: number;
  parameter_seed: number;
  /** The threads of a step have so many windows of n_ctx tokens each. */
  threads: number;
  windows_per_thread: number;
  adam: AdamOptions;
  schedule: readonly Cycle[];
  /** Steps between checkpoints. */
  checkpoint_every: number;
}

/** What the shipped files follow from. A change makes other files. */
export const recipe = {
  /** Of the shipped text, which is not trained on. */
  text_seed: 1,
  documents: 4_000,
  training_seed: 2,
  parameter_seed: 3,
  shape: { d_model: 96, n_layers: 4, n_heads: 4, d_mlp: 384, d_vocab: 1_280, n_ctx: 128 },
  threads: 2,
  windows_per_thread: 4,
  adam: { beta1: 0.9, beta2: 0.98, weight_decay: 0.1, clip: 1 },
  schedule: [
    { lr: 3e-3, steps: 3_000, warm_up_steps: 100, cool_down_steps: 1_200 },
    { lr: 3e-3, steps: 3_000, warm_up_steps: 100, cool_down_steps: 2_000 },
  ],
  checkpoint_every: 100,
} as const satisfies TrainingRecipe & { text_seed: number; documents: number };

/** Tokens of a step. */
export const tokensPerStep = ({ threads, windows_per_thread, shape }: TrainingRecipe): number =>
  threads * windows_per_thread * shape.n_ctx;
