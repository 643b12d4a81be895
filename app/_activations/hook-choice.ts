import type { HookPoint } from "../../gpu/lm/hook-points.ts";
import { type Architecture, isTranscoder } from "../../gpu/sae/architecture.ts";

/** Layer of a block's hook point; null of one outside the blocks. */
function layerOf(name: string): number | null {
  const layer = /^blocks\.(\d+)\./.exec(name)?.[1];
  return layer === undefined ? null : Number(layer);
}

/** Hook points in the order in which one would want them for a place, the likeliest first. */
function likeliest(architecture: Architecture, place: number, points: readonly HookPoint[]): string[] {
  const layers = 1 + Math.max(-1, ...points.map(({ name }) => layerOf(name) ?? -1));
  const middle = Math.floor(layers / 2);
  const onwards = Array.from({ length: layers }, (_, at) => (middle + at) % layers);
  const at = (hook: string) => onwards.map((layer) => `blocks.${layer}.${hook}`);
  const wanted = isTranscoder(architecture)
    ? place === 0
      ? at("ln2.hook_normalized")
      : at("hook_mlp_out")
    : at("hook_resid_post");
  const others = points.map(({ name }) => name);
  return [...wanted.filter((name) => others.includes(name)), ...others];
}

/** How many hook points an architecture reads; of a crosscoder as many as are chosen, two or more. */
function placesOf(architecture: Architecture, chosen: number): number {
  if (architecture === "crosscoder") return Math.max(2, chosen);
  return isTranscoder(architecture) ? 2 : 1;
}

/**
 * A hook point for every place of an architecture: those that were chosen where the model has them, else the likeliest
 * that no other place has. One from the middle of the model for an SAE; a MLP's input and output for a transcoder; from
 * the middle onwards, all of one width, for a crosscoder. Null where the model has no more.
 */
export function hooksFor(
  architecture: Architecture,
  chosen: readonly (string | null)[],
  points: readonly HookPoint[],
): (string | null)[] {
  const known = (wanted: string | null | undefined) =>
    points.find(({ name }) => name === wanted)?.name ?? null;
  const places = Array.from({ length: placesOf(architecture, chosen.length) }, (_, at) => known(chosen[at]));
  for (const place of places.keys()) {
    if (places[place] !== null) continue;
    const first = places.find((name) => name !== null);
    const width = points.find(({ name }) => name === first)?.width;
    const offered =
      architecture === "crosscoder" && width !== undefined
        ? points.filter((point) => point.width === width)
        : points;
    places[place] =
      likeliest(architecture, place, offered).find((candidate) => !places.includes(candidate)) ?? null;
  }
  return places;
}

/** Whether a hook point's name has every word of what was typed, in any order. */
export function hookMatches(name: string, query: string): boolean {
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.toLowerCase().includes(word));
}
