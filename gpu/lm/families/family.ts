import type { BlockWeight, ModelWeight } from "../canonical-weights.ts";
import type { ModelSpec } from "../model-spec.ts";

/**
 * Where a canonical weight lies in a tensor of the file: its row r is the tensor's row
 * first + ⌊r / block⌋ · stride + r mod block.
 */
export interface TensorPart {
  /** Name without the family's prefix and, in a block, without the layer's. */
  tensor: string;
  /** The tensor is [in, out], as GPT-2's Conv1D has it: rows above are its columns. */
  transposed?: boolean;
  /** Rows of the tensor; default: those of the weight. */
  total?: number;
  /** Default 0. */
  first?: number;
  /** Default: all rows in one block. */
  block?: number;
  /** From one block's first row to the next one's. */
  stride?: number;
}

/** Where each weight that the model has is found; a bare name is a whole tensor. */
export interface FamilyWeights {
  /** What may stand before every name, "" among them where files without it are about. */
  prefixes: readonly string[];
  /** What stands before a layer's names. */
  layer(index: number): string;
  model: Partial<Record<ModelWeight, string | TensorPart>>;
  block: Partial<Record<BlockWeight, string | TensorPart>>;
}

/** One family of models: how its config.json is read, and how its tensors are called. */
export interface Family {
  /** Hugging Face's `model_type`s. */
  model_types: readonly string[];
  /**
   * @param config parsed JSON, an object.
   * @throws UnsupportedModelError, ModelConfigError
   */
  describe(config: unknown, model_type: string): Omit<ModelSpec, "family">;
  weights(spec: ModelSpec): FamilyWeights;
}
