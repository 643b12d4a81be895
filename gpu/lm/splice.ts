import { requireHookPoint } from "./hook-points.ts";
import { type Layout, pad, pitch, unpad, width } from "./layout.ts";
import type { ModelSpec } from "./model-spec.ts";
import type { HeadPiece, Step } from "./plan-ops.ts";

/** Hook points that the rest of a pass reads: what is put there changes what the model predicts. */
const spliceable =
  /^(hook_embed|blocks\.\d+\.(hook_resid_pre|hook_resid_mid|hook_resid_post|attn\.hook_z|hook_attn_out|mlp\.hook_post|hook_mlp_out))$/;

/** Nothing can be put in the place of a hook point's activations, for the pass does not go through it. */
export class SpliceError extends Error {
  override readonly name = "SpliceError";
}

/** @throws UnknownHookError; SpliceError */
export function requireSpliceable(spec: ModelSpec, hook: string): void {
  requireHookPoint(spec, hook);
  if (spliceable.test(hook)) return;
  throw new SpliceError(
    `What ${hook} holds is read beside the model's own way, so nothing can be put in its place. Take the residual stream, hook_z, hook_post, or what attention or MLP give.`,
  );
}

/** What a replacement is made from: activations by hook point, f32 [rows, width] each. */
export type HookRows = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

export type Replacement = (activations: HookRows) => Float32Array<ArrayBuffer>;

/** Outcome of one pass, per token. */
export interface TokenOutcomes {
  /** −ln p of each next token, in nats; of a sequence's last token, which has none, what does not count. */
  losses: Float64Array<ArrayBuffer>;
  /** KL(clean ‖ this), in nats. */
  kl: Float32Array<ArrayBuffer>;
}

export interface Comparison {
  clean: Float64Array<ArrayBuffer>;
  /** In the order of the replacements. */
  replaced: TokenOutcomes[];
}

/** What the comparison does with an open model, whose turn it has. */
export interface SpliceAccess {
  rows: number;
  /** Where the splice's activations are when the first part has run. */
  at: { buffer: GPUBuffer; layout: Layout };
  /** Runs the pass up to the splice, and from there to the final norm. */
  before(): void;
  after(): void;
  submit(steps: readonly Step[]): void;
  write(buffer: GPUBuffer, data: Float32Array<ArrayBuffer>): void;
  read(buffer: GPUBuffer, words: number): Promise<Float32Array<ArrayBuffer>>;
  hookRows(): Promise<Map<string, Float32Array<ArrayBuffer>>>;
  head: readonly HeadPiece[];
  buffers: {
    losses: GPUBuffer;
    cleanLosses: GPUBuffer;
    kl: GPUBuffer;
    final: GPUBuffer;
    cleanFinal: GPUBuffer;
  };
  finalPitch: number;
}

/**
 * Runs a call's tokens once as they are and once for each replacement, which takes the place of the activations at the
 * splice. Each pass begins anew, for later layers write over what earlier ones left.
 * @param hook The splice's name, under which its activations are handed to the replacements.
 */
export async function compareSpliced(
  access: SpliceAccess,
  hook: string,
  replacements: readonly Replacement[],
): Promise<Comparison> {
  const { rows, at, head, buffers, finalPitch } = access;
  access.before();
  const activations = await access.hookRows();
  activations.set(hook, unpad(await access.read(at.buffer, rows * pitch(at.layout)), at.layout));
  access.after();
  for (const { compute, loss } of head) access.submit(asSteps([...compute, loss]));
  access.submit([
    { from: buffers.final, to: buffers.cleanFinal, rowBytes: 4 * finalPitch, which: "first" },
    { from: buffers.losses, to: buffers.cleanLosses, rowBytes: 16, which: "first" },
  ]);
  const clean = lossesOf(await access.read(buffers.losses, 4 * rows));
  const replaced: TokenOutcomes[] = [];
  for (const replacement of replacements) {
    const instead = replacement(activations);
    if (instead.length !== rows * width(at.layout)) {
      throw new RangeError(`${instead.length} numbers cannot take the place of ${rows * width(at.layout)}.`);
    }
    access.before();
    access.write(at.buffer, pad(instead, at.layout));
    access.after();
    for (const { compute, loss } of head) access.submit(asSteps([...compute, loss]));
    // The sums of the softmax are known after the last piece, so the pieces are made once more.
    for (const { compute, divergence } of head) {
      access.submit(asSteps([...compute, ...divergence!]));
    }
    replaced.push({
      losses: lossesOf(await access.read(buffers.losses, 4 * rows)),
      kl: await access.read(buffers.kl, rows),
    });
  }
  return { clean, replaced };
}

function asSteps(dispatches: readonly Extract<Step, { dispatch: unknown }>["dispatch"][]): Step[] {
  return dispatches.map((dispatch) => ({ dispatch }));
}

/** From (largest, total, next) of each token. */
function lossesOf(sums: Float32Array): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: sums.length / 4 }, (_, row) => {
    const [largest, total, next] = sums.subarray(4 * row, 4 * row + 3) as unknown as [number, number, number];
    return largest + Math.log(total) - next;
  });
}
