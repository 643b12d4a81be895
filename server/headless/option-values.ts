/**
 * A value as it stands on a command line, as JSON would have it: numbers, true, false, null and [lists] as such,
 * anything else as text.
 */
export function parseValue(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  if (text.startsWith("[")) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
