import type { SaeConfig } from "../../gpu/sae/sae.ts";

/** One of the activation sets that an SAE is used on. */
export interface NeededSet {
  /** What it is to the SAE: "activation set", "input", "target", "hook point 2". */
  name: string;
  width: number;
  /** Where it was trained on, where that is known. */
  hook_name: string | null;
}

/** The sets that an SAE takes, in order. */
export function neededSets(
  config: Pick<SaeConfig, "d_in" | "d_out" | "n_hook_points" | "transcoder" | "metadata">,
): NeededSet[] {
  const { d_in, d_out, n_hook_points, transcoder, metadata } = config;
  const { hook_name, hook_name_out } = metadata;
  if (transcoder) {
    return [
      { name: "input", width: d_in, hook_name },
      { name: "target", width: d_out, hook_name: hook_name_out },
    ];
  }
  if (n_hook_points === 1) return [{ name: "activation set", width: d_in, hook_name }];
  // A run on several hook points names them together.
  const names = hook_name?.split(", ") ?? [];
  return Array.from({ length: n_hook_points }, (_, at) => ({
    name: `hook point ${at + 1}`,
    width: d_in / n_hook_points,
    hook_name: names.length === n_hook_points ? names[at]! : null,
  }));
}
