import { stat } from "node:fs/promises";
import path from "node:path";
import { namesIn } from "../artifacts/aside.ts";
import { manifestFile } from "../artifacts/captured-manifest.ts";
import type { Fault } from "../errors.ts";
import type { DataLocations } from "./training-data.ts";

/** Whether it is the folder of an activation set. */
export async function isSet(folder: string): Promise<boolean> {
  return isFile(path.join(folder, manifestFile));
}

/** The sets that a capture has left in its folder, by hook point; none where it is no such folder. */
export async function setsIn(folder: string): Promise<Map<string, string>> {
  const sets = new Map<string, string>();
  const found = await stat(folder).catch(() => null);
  if (!found?.isDirectory() || (await isSet(folder))) return sets;
  for (const name of (await namesIn(folder)).sort()) {
    // Sets that are not whole yet stand under another name.
    if (!name.endsWith(".capture") && (await isSet(path.join(folder, name)))) {
      sets.set(name, path.join(folder, name));
    }
  }
  return sets;
}

async function isFile(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => null);
  return found?.isFile() ?? false;
}

/** The sets that are meant where the folder of a capture is named, and its hook points, in place of that folder. */
export async function inCaptureFolder(locations: DataLocations, faults: Fault[]): Promise<DataLocations> {
  const { hooks = [], target_hook = null, ...rest } = locations;
  const [only] = rest.activations;
  const named = [...hooks, ...(target_hook === null ? [] : [target_hook])];
  const sets = only === undefined ? new Map<string, string>() : await setsIn(only);
  if (rest.activations.length !== 1 || sets.size === 0) {
    if (named.length > 0) {
      const message =
        "Hook points are named of one folder that facet capture has made, with a set for each; give that as --activations.";
      faults.push({ path: hooks.length > 0 ? "--hooks" : "--target-hook", message });
    }
    for (const location of rest.activations.length > 1 ? rest.activations : []) {
      const [one] = [...(await setsIn(location)).values()];
      if (one === undefined) continue;
      const message = `${location} holds sets of a capture; name those themselves, as ${one}.`;
      faults.push({ path: "activations", message });
    }
    return rest;
  }
  const all = [...sets.keys()];
  for (const [index, name] of named.entries()) {
    if (sets.has(name)) continue;
    const option = index < hooks.length ? "--hooks" : "--target-hook";
    faults.push({ path: option, message: `${only} has no set of ${name}. It has ${all.join(", ")}.` });
  }
  if (target_hook !== null && rest.targets !== null) {
    faults.push({
      path: "--target-hook",
      message: "The target is given by --targets already; leave one out.",
    });
  }
  if (hooks.length === 0 && all.filter((name) => name !== target_hook).length > 1) {
    const message = `${only} has sets of several hook points; name those to use with --hooks: ${all.join(", ")}.`;
    faults.push({ path: "activations", message });
  }
  const chosen = hooks.length > 0 ? hooks : all.filter((name) => name !== target_hook);
  const folders = (names: readonly string[]) => names.flatMap((name) => sets.get(name) ?? []);
  return {
    ...rest,
    activations: folders(chosen),
    targets: target_hook === null ? rest.targets : (sets.get(target_hook) ?? null),
  };
}
