/** Ids that were typed, apart by commas or spaces; null where something else stands among them. */
export function readTokenIds(text: string): number[] | null {
  const parts = text.split(/[\s,;]+/).filter((part) => part !== "");
  if (!parts.every((part) => /^\d{1,9}$/.test(part))) return null;
  return [...new Set(parts.map(Number))];
}
