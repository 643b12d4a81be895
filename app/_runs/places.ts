import { type Architecture, isTranscoder } from "../../gpu/sae/architecture.ts";

/** As many hook points as a crosscoder may have. */
export const mostPlaces = 64;

/** What the places of an architecture's activations are called; `only` is what a single one is. */
export function placeNames(
  architecture: Architecture,
  places: number,
  only: "Activation set" | "Hook point",
): string[] {
  if (isTranscoder(architecture)) return ["Input", "Target"];
  if (architecture === "crosscoder") return Array.from({ length: places }, (_, at) => `Hook point ${at + 1}`);
  return [only];
}
