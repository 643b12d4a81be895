import { closest, distance } from "fastest-levenshtein";

/** Letters beyond which no name is looked for. */
const longest = 100;

/**
 * The name that was probably meant, or null when none is near: a third of its letters may be wrong, two where it is
 * short and one where it is very short, or it may be a part of the name. Hyphens and capitals do not count.
 */
export function nearest(written: string, names: readonly string[]): string | null {
  if (names.length === 0 || written.length > longest) return null;
  const plain = (name: string) => name.toLowerCase().replaceAll("-", "_");
  const meant = closest(plain(written), names.map(plain));
  const allowed = written.length < 4 ? 1 : Math.max(2, Math.floor(written.length / 3));
  if (distance(plain(written), meant) <= allowed) return names.find((name) => plain(name) === meant) ?? null;
  const longer = names.filter((name) => written.length > 3 && plain(name).includes(plain(written)));
  return longer.toSorted((a, b) => a.length - b.length)[0] ?? null;
}
