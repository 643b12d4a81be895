import { BufferTooLargeError } from "../../gpu/device/errors.ts";
import type { Capabilities } from "../../gpu/device/gpu.ts";
import type { ByteLedger } from "../../gpu/device/ledger.ts";
import { plannedBytes } from "../../gpu/lm/language-model.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import type { Precision } from "../../gpu/lm/precision.ts";

/** Tokens that go through a model together where nobody says how many. */
const tokensTogether = 4_096;

/** What a GPU has room for. */
export interface Room {
  capabilities: Capabilities;
  ledger: Pick<ByteLedger, "budget" | "used">;
}

/** What goes through a model. */
export interface Passes {
  spec: ModelSpec;
  /** Names of the hook points that are kept. */
  hooks: readonly string[];
  /** Of all sequences. */
  n_sequences: number;
  /** Tokens of each. */
  length: number;
  /** Of the model's weights; default: f32. */
  precision?: Precision;
}

/**
 * Sequences that go through the model together: about 4,096 tokens' worth, or as many as the GPU has room for. It is 1
 * where not even that fits; opening the model says so then.
 */
export function sequencesTogether(gpu: Room, { spec, n_sequences, ...size }: Passes): number {
  let together = Math.min(n_sequences, Math.max(1, Math.floor(tokensTogether / size.length)));
  while (together > 1 && !fits(gpu, spec, { ...size, n_sequences: together })) {
    together = Math.floor(together / 2);
  }
  return together;
}

function fits(
  { capabilities, ledger }: Room,
  spec: ModelSpec,
  size: Parameters<typeof plannedBytes>[2],
): boolean {
  try {
    return plannedBytes(spec, capabilities, size) <= ledger.budget - ledger.used;
  } catch (error) {
    if (error instanceof BufferTooLargeError) return false;
    throw error;
  }
}
