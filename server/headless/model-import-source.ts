import { existsSync } from "node:fs";
import { UsageError } from "../cli/usage.ts";
import { HubError } from "../hub/hub-error.ts";
import { checkRepository } from "../hub/names.ts";
import type { ModelSource } from "../models/import.ts";

/** A model as it is named on a command line: a path that is there is a folder, anything else a repository of the hub. */
export function modelSource(word: string, revision: string | undefined): ModelSource {
  if (existsSync(word)) {
    if (revision === undefined) return { kind: "folder", path: word };
    throw new UsageError(`${word} is a folder, which has no revisions; leave out --revision.`);
  }
  try {
    checkRepository(word);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    throw new UsageError(
      `There is no folder ${word}, and no model of the hub is called so: names are owner/name.`,
    );
  }
  return { kind: "hub", repo: word, revision: revision ?? "main" };
}
