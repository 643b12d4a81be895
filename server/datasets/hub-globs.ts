import { isGitPath, shown } from "../hub/names.ts";
import type { HubFile } from "../hub/repository.ts";
import { DatasetError } from "./dataset-error.ts";

/*
 * Patterns of files in a repository, as dataset cards have them: `*` and `?` stand for what is in one folder, `**` for any
 * number of folders, `[a-z]` and `[!a-z]` for one character. Matching takes time in proportion to pattern and path.
 */

const maxLength = 1_024;
/** Patterns with wildcards of one split, and wildcards of one pattern: many more than any dataset has. */
const maxPatterns = 256;
const maxWildcards = 32;

type Part =
  | { kind: "character"; of(character: string): boolean }
  /** Any number of characters; of several folders, or of one. */
  | { kind: "many"; folders: boolean }
  /** The beginning of a folder, and of what comes after any number of folders; then what is within such a folder's name. */
  | { kind: "folders" }
  | { kind: "folder" };

/**
 * The files that patterns name, in the order of the patterns and then of the paths, each once. Files whose names begin with
 * a dot or two underscores, or that lie in such folders, must be named so.
 * @param files Sorted by path.
 * @throws DatasetError for a pattern that no repository's file can match, or that is made to cost time
 */
export function filesOf(files: readonly HubFile[], patterns: readonly string[], where: string): HubFile[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const found = new Map<string, HubFile>();
  let wild = 0;
  for (const pattern of patterns) {
    checkPattern(pattern, where);
    if (!/[*?[]/.test(pattern)) {
      const file = byPath.get(pattern);
      if (file !== undefined) found.set(pattern, file);
      continue;
    }
    wild++;
    if (wild > maxPatterns) {
      throw new DatasetError(
        `${where} names more than ${maxPatterns} patterns of files; no more are looked up.`,
      );
    }
    const parts = partsOf(pattern, where);
    const literal = /^[^*?[]*/.exec(pattern)![0];
    const hidden = hiddenParts(pattern);
    for (const file of files) {
      if (!file.path.startsWith(literal) || found.has(file.path)) continue;
      if (hiddenParts(file.path) <= hidden && matches(parts, file.path)) found.set(file.path, file);
    }
  }
  return [...found.values()];
}

function checkPattern(pattern: string, where: string): void {
  if (pattern.length <= maxLength && isGitPath(pattern) && !/^[a-z][a-z0-9+.-]*:\/\//i.test(pattern)) return;
  throw new DatasetError(
    `${where} names the files ${shown(pattern)}, which are none of the repository's own. Only files of the repository are read.`,
  );
}

/** Folders and files of a path whose names are hidden ones. */
function hiddenParts(path: string): number {
  return path.split("/").filter((part) => part.startsWith(".") || part.startsWith("__")).length;
}

function partsOf(pattern: string, where: string): Part[] {
  const parts: Part[] = [];
  let wildcards = 0;
  for (let at = 0; at < pattern.length; ) {
    const [word] = /^(?:\*\*\/|\*+|\[!?\]?[^\]]*\]|[\s\S])/.exec(pattern.slice(at))!;
    const begins = at === 0 || pattern[at - 1] === "/";
    at += word.length;
    if (word.startsWith("*")) wildcards++;
    if (word === "**/" && begins) parts.push({ kind: "folders" }, { kind: "folder" });
    else if (word.startsWith("*")) {
      parts.push({ kind: "many", folders: word.startsWith("**") });
      if (word.endsWith("/")) parts.push(literalPart("/"));
    } else parts.push(word === "?" ? notSlash : word.length > 1 ? classPart(word) : literalPart(word));
  }
  if (wildcards <= maxWildcards) return parts;
  throw new DatasetError(
    `${where} names the files ${shown(pattern)}, with more than ${maxWildcards} wildcards. Name the files in another way.`,
  );
}

const notSlash: Part = { kind: "character", of: (character) => character !== "/" };

function literalPart(literal: string): Part {
  return { kind: "character", of: (character) => character === literal };
}

/** `[a-z_]`, or what is not of it: `[!0-9]`. */
function classPart(word: string): Part {
  const negated = word.startsWith("[!");
  const inner = [...word.slice(negated ? 2 : 1, -1)];
  const ranges: [string, string][] = [];
  for (let at = 0; at < inner.length; at++) {
    const [first, dash, last] = [inner[at]!, inner[at + 1], inner[at + 2]];
    if (dash === "-" && last !== undefined) {
      ranges.push([first, last]);
      at += 2;
    } else ranges.push([first, first]);
  }
  return {
    kind: "character",
    of: (character) =>
      character !== "/" && ranges.some(([from, to]) => from <= character && character <= to) !== negated,
  };
}

/** All places in the pattern are followed at once, so that none is ever gone back to. */
function matches(parts: readonly Part[], path: string): boolean {
  let places = new Set<number>();
  /** With the places behind what may stand for nothing. */
  const enter = (place: number, into: Set<number>) => {
    if (into.has(place)) return;
    into.add(place);
    const kind = parts[place]?.kind;
    if (kind === "many") enter(place + 1, into);
    if (kind === "folders") enter(place + 2, into);
  };
  enter(0, places);
  for (const character of path) {
    const next = new Set<number>();
    for (const place of places) {
      const part = parts[place];
      const after = part === undefined ? null : placeAfter(part, place, character);
      if (after !== null) enter(after, next);
    }
    places = next;
    if (places.size === 0) return false;
  }
  return places.has(parts.length);
}

/** Where a character leads; null where it does not fit. */
function placeAfter(part: Part, place: number, character: string): number | null {
  switch (part.kind) {
    case "character":
      return part.of(character) ? place + 1 : null;
    case "many":
      return part.folders || character !== "/" ? place : null;
    case "folders":
      return character === "/" ? null : place + 1;
    case "folder":
      return character === "/" ? place - 1 : place;
  }
}
