import { HubError } from "./hub-error.ts";

/** `name` or `owner/name`, by the hub's own rules. */
const repository = /^(?:[A-Za-z0-9][\w.-]{0,95}\/)?[A-Za-z0-9][\w.-]{0,95}$/;
/** What git takes for a branch, a tag or a commit, without what has a meaning in an address. */
const revision = /^[A-Za-z0-9][\w.+@/-]{0,199}$/;

/** Throws `HubError`. */
export function checkRepository(repo: string): void {
  if (repository.test(repo) && !/\.\.|--|\.git$/.test(repo)) return;
  throw new HubError(
    "bad_name",
    `${shown(repo)} is not the name of a repository. Names are owner/name, of letters, digits and . _ -, such as openai-community/gpt2.`,
  );
}

/** Throws `HubError`. */
export function checkRevision(name: string): void {
  if (revision.test(name) && !/\.\.|\/\/|@\{|\/$|\.lock$/.test(name)) return;
  throw new HubError(
    "bad_name",
    `${shown(name)} is not a revision. Name a branch such as main, a tag, or a commit.`,
  );
}

/** Whether git can hold a file of that path; a listing with another is made up. */
export function isGitPath(path: string): boolean {
  return path !== "" && path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** Whether a file of that path can be downloaded: of those that git can hold, not what other disks take for folders or cannot name. */
export function isFilePath(path: string): boolean {
  return (
    isGitPath(path) &&
    path.length <= 1_024 &&
    path.split("/").every((part) => Buffer.byteLength(part) <= 240) &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
    !/[\u0000-\u001f\u007f\\:]|\p{Surrogate}/u.test(path)
  );
}

/** A name from outside, short enough for a message. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}
