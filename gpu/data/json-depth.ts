/**
 * Whether a JSON text nests objects and arrays deeper than `limit`. For texts from strangers, before they are parsed:
 * a few megabytes of brackets become gigabytes of objects, and overflow the stack of whoever walks them.
 */
export function nestsDeeperThan(text: string, limit: number): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{" || character === "[") {
      if (++depth > limit) return true;
    } else if (character === "}" || character === "]") depth--;
    else if (character === '"') {
      at++;
      while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    }
  }
  return false;
}
