import { hookPoints, type UnknownHookError } from "../../gpu/lm/hook-points.ts";
import type { ModelSpec } from "../../gpu/lm/model-spec.ts";
import type { Fault } from "../errors.ts";
import { nearest } from "./nearest.ts";

/** What is wrong with a hook point's name, with the one that was probably meant. */
export function hookFault(spec: ModelSpec, { hook, message }: UnknownHookError): string {
  const meant = nearest(
    hook,
    hookPoints(spec).map(({ name }) => name),
  );
  return meant === null ? message : `${message} Did you mean ${meant}?`;
}

/**
 * Hook points as a command line names them: `--hooks a --hooks b` is `--hooks a,b`. A name given twice is a fault.
 */
export function hookNames(given: readonly string[], faults: Fault[]): string[] {
  const names = given
    .flatMap((list) => list.split(","))
    .map((name) => name.trim())
    .filter((name) => name !== "");
  for (const name of new Set(names.filter((one, index) => names.indexOf(one) !== index))) {
    faults.push({ path: "--hooks", message: `${name} is named more than once; name it once.` });
  }
  return names;
}
