import type { TokenizeOptions } from "../../server/tokens/views.ts";

/** The options as they are typed and chosen; what is empty or automatic is left to the server. */
export interface TypedOptions {
  context_size: string;
  bos: TokenizeOptions["bos"] | "auto";
  separator: TokenizeOptions["separator"] | "auto";
  remainder: TokenizeOptions["remainder"];
  /** Per cent. */
  held_out: string;
}

export const standardOptions: TypedOptions = {
  context_size: "",
  bos: "auto",
  separator: "auto",
  remainder: "drop",
  held_out: "5",
};

function numberIn(text: string): number {
  return Number(text.replaceAll(/[\s,_]/g, ""));
}

/** What of the typed numbers cannot be sent, by field. */
export function typedFaults({ context_size, held_out }: TypedOptions): Map<string, string> {
  const faults = new Map<string, string>();
  const size = numberIn(context_size);
  if (context_size.trim() !== "" && !(Number.isInteger(size) && size >= 2)) {
    faults.set("context_size", "The context size must be a whole number from 2.");
  }
  const share = numberIn(held_out);
  if (held_out.trim() === "" || !(share >= 0 && share <= 90)) {
    faults.set("held_out", "The held-out share must be a number from 0 to 90.");
  }
  return faults;
}

/** As the server takes them. */
export function givenOptions({ context_size, bos, separator, remainder, held_out }: TypedOptions) {
  return {
    context_size: context_size.trim() === "" ? null : numberIn(context_size),
    bos: bos === "auto" ? null : bos,
    separator: separator === "auto" ? null : separator,
    remainder,
    // Whole hundredths of a per cent: 7 / 100 is not 0.07 in binary either way, but the same each time.
    held_out: Math.round(100 * numberIn(held_out)) / 10_000,
  };
}
