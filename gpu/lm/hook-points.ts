import type { Layout } from "./layout.ts";
import { plain, width } from "./layout.ts";
import { type ModelSpec, quoted } from "./model-spec.ts";

/** A place in a model whose activations can be read. */
export interface HookPoint {
  /** TransformerLens' name. */
  name: string;
  /** Numbers a token. */
  width: number;
}

/** Where in a block a hook point is, in the order in which a pass comes by. */
export type BlockHook =
  | "hook_resid_pre"
  | "ln1.hook_normalized"
  | "attn.hook_z"
  | "hook_attn_out"
  | "hook_resid_mid"
  | "hook_mlp_in"
  | "ln2.hook_normalized"
  | "mlp.hook_post"
  | "hook_mlp_out"
  | "hook_resid_post";

/** The name in a model of a block's hook point. */
export function blockHook(layer: number, hook: BlockHook): string {
  return `blocks.${layer}.${hook}`;
}

/** A block's hook points with what they hold: no `hook_resid_mid` where nothing lies between attention and MLP. */
function blockLayouts(spec: ModelSpec): [BlockHook, Layout][] {
  const model = plain(spec.d_model);
  const all: [BlockHook, Layout][] = [
    ["hook_resid_pre", model],
    ["ln1.hook_normalized", model],
    ["attn.hook_z", { groups: spec.n_heads, size: spec.d_head }],
    ["hook_attn_out", model],
    ["hook_resid_mid", model],
    ["hook_mlp_in", model],
    ["ln2.hook_normalized", model],
    ["mlp.hook_post", plain(spec.d_mlp)],
    ["hook_mlp_out", model],
    ["hook_resid_post", model],
  ];
  return all.filter(([hook]) => hook !== "hook_resid_mid" || !spec.parallel);
}

/** Every hook point of the model, with how a row of it lies in memory, in the order in which a pass comes by. */
export function hookLayouts(spec: ModelSpec): Map<string, Layout> {
  const layouts = new Map<string, Layout>([["hook_embed", plain(spec.d_model)]]);
  const block = blockLayouts(spec);
  for (let layer = 0; layer < spec.n_layers; layer++) {
    for (const [hook, layout] of block) layouts.set(blockHook(layer, hook), layout);
  }
  return layouts;
}

/** Every hook point of the model, in the order in which a pass comes by. */
export function hookPoints(spec: ModelSpec): HookPoint[] {
  return Array.from(hookLayouts(spec), ([name, layout]) => ({ name, width: width(layout) }));
}

/** The model has no hook point of that name. */
export class UnknownHookError extends Error {
  override readonly name = "UnknownHookError";
  readonly hook: string;

  constructor(hook: string, spec: ModelSpec) {
    super(
      `The model has no hook point ${quoted(hook)}. There are hook_embed and blocks.0 to ` +
        `blocks.${spec.n_layers - 1}, each with ${blockLayouts(spec)
          .map(([name]) => name)
          .join(", ")}.`,
    );
    this.hook = hook;
  }
}

/** @throws UnknownHookError */
export function requireHookPoint(spec: ModelSpec, name: string): HookPoint {
  const layout = hookLayouts(spec).get(name);
  if (layout === undefined) throw new UnknownHookError(name, spec);
  return { name, width: width(layout) };
}
