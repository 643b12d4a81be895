import { type BlockHook, hookPoints, requireHookPoint } from "./hook-points.ts";
import type { ModelSpec } from "./model-spec.ts";
import type { Op } from "./program.ts";

/** What stands at the splice point while the rest of the pass runs: the model's own activations, or what replaces them. */
export const spliceVariants = ["clean", "spliced", "zero", "mean"] as const;
export type SpliceVariant = (typeof spliceVariants)[number];

/** Names of a spliced program's buffers: the state at the splice point, and by variant the head's input, losses and sums. */
export const savedName = (activation: string) => `saved ${activation}`;
export const finalName = (variant: SpliceVariant) => `final ${variant}`;
export const lossesName = (variant: SpliceVariant) => `losses ${variant}`;
export const divergenceName = (variant: SpliceVariant) => `divergence ${variant}`;
/** A piece of the logits of a variant that is compared with the clean one. */
export const comparedLogits = "compared logits";

/** Activations cannot be replaced there, or not by this SAE. */
export class SpliceError extends Error {
  override readonly name = "SpliceError";
}

/** Normalised activations are read, and the pass goes on from weight and bias applied to them in one kernel. */
const unspliceable: readonly BlockHook[] = ["ln1.hook_normalized", "ln2.hook_normalized"];

/** @throws SpliceError @param shared_norm the MLP reads what attention reads. */
export function requireSpliceable(hook: string, shared_norm: boolean): void {
  if (unspliceable.some((name) => hook.endsWith(`.${name}`))) {
    throw new SpliceError(
      `Activations at ${hook} can be read but not replaced; take a hook point before it.`,
    );
  }
  if (shared_norm && hook.endsWith(".hook_mlp_in")) {
    throw new SpliceError(
      `The MLP of this model reads what attention reads, so nothing at ${hook} can be replaced by itself.`,
    );
  }
}

/**
 * Whether what an SAE makes of `hook` can take the place of the activations at `hook_out`.
 * @throws UnknownHookError, SpliceError
 */
export function requireSplice(spec: ModelSpec, hook: string, hook_out: string): void {
  for (const name of [hook, hook_out]) requireHookPoint(spec, name);
  const names = hookPoints(spec).map(({ name }) => name);
  if (names.indexOf(hook_out) < names.indexOf(hook)) {
    throw new SpliceError(
      `The pass comes by ${hook_out} before ${hook}, from which its activations would be reconstructed.`,
    );
  }
  requireSpliceable(hook_out, spec.shared_norm);
}

/**
 * Activations that ops after `index` read before they are written: with these as they are at that op, the rest of the
 * pass can be run again.
 */
export function liveAfter(ops: readonly Op[], index: number): string[] {
  const written = new Set<string>();
  const live = new Set<string>();
  for (const op of ops.slice(index + 1)) {
    const [reads, writes] = traffic(op);
    for (const name of reads) if (!written.has(name)) live.add(name);
    for (const name of writes) written.add(name);
  }
  return [...live];
}

/** Activations that an op reads, and those that it leaves with none of what they held. */
function traffic(op: Op): [reads: string[], writes: string[]] {
  switch (op.kind) {
    case "embed":
      // Of rows whose tokens are in its piece.
      return [[op.y], []];
    case "add":
      return [op.positions ? [op.y] : [op.x, op.y], []];
    case "norm":
    case "linear":
    case "copy":
    case "keep":
    case "last":
      return [[op.x], [op.y]];
    case "rotary":
    case "splice":
      return [[op.x], []];
    case "attention":
      return [[op.q, op.k, op.v], [op.z]];
    case "activate":
      return [op.up === null ? [op.y] : [op.y, op.up], []];
    case "logits":
      return [[], [op.y]];
  }
}
