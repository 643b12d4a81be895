import path from "node:path";
import { joinRows } from "../../gpu/data/joined-rows.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import { type Fault, InvalidInputError } from "../errors.ts";
import { type Activations, openActivations } from "./activations.ts";
import { inCaptureFolder } from "./capture-folder.ts";
import { scanActivations, scanRows } from "./finite-scan.ts";
import type { HookPointIdentity } from "./run-folder.ts";
import type { GivenWidths } from "./training-options.ts";

/** Where activations are: a file or folder for every hook point read, and one for a transcoder's target. */
export interface DataLocations {
  activations: readonly string[];
  targets: string | null;
  /** Tensor in the files; null for `activations` or the only two-dimensional one. */
  tensor: string | null;
  /** Tensor in the targets' files, where it is another. */
  target_tensor: string | null;
  /** Of a capture's folder, where that is given: which of its sets are read, and which is a transcoder's target. */
  hooks?: readonly string[];
  target_hook?: string | null;
}

/** Activations of all hook points, open for reading; close them. */
export interface TrainingData {
  /** Where it was found: sets in place of the folder of a capture. */
  readonly locations: DataLocations;
  readonly inputs: readonly Activations[];
  readonly target: Activations | null;
  readonly widths: GivenWidths;
  /** Rows of all hook points side by side, the target's last. */
  readonly rows: RowReader;
  /** The same of rows that are never trained on; null where one of the hook points keeps none apart. */
  readonly held_out: RowReader | null;
  /**
   * Reads everything once and says what it is.
   * @throws NonFiniteActivationsError; the reason of `signal`.
   */
  identify(onRows: (rows: number, of: number) => void, signal: AbortSignal): Promise<HookPointIdentity[]>;
  /** The same check of the first rows alone. */
  check(rows: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** @throws InvalidInputError with every file that is missing, damaged, or does not go with the first. */
export async function openData(given: DataLocations): Promise<TrainingData> {
  const faults: Fault[] = [];
  const locations = await inCaptureFolder(given, faults);
  if (faults.length > 0) throw new InvalidInputError(faults);
  const { activations, targets, tensor, target_tensor } = locations;
  const open = async (role: string, location: string, wanted: string | null) => {
    try {
      return await openActivations(location, wanted ?? undefined);
    } catch (error) {
      faults.push({ path: role, message: error instanceof Error ? error.message : String(error) });
      return null;
    }
  };
  const opened = await Promise.all([
    ...activations.map((location) => open("activations", location, tensor)),
    ...(targets === null ? [] : [open("targets", targets, target_tensor ?? tensor)]),
  ]);
  const hookPoints = opened.filter((one) => one !== null);
  const close = async () => {
    for (const one of hookPoints) await one.close();
  };
  const [first] = hookPoints;
  for (const other of hookPoints) {
    if (first === undefined || other.n_rows === first.n_rows) continue;
    faults.push({
      path: other === hookPoints.at(-1) && targets !== null ? "targets" : "activations",
      message: `${first.location} has ${first.n_rows} rows, but ${other.location} has ${other.n_rows}; row i of each must be the same token's.`,
    });
  }
  if (faults.length === 0) faults.push(...otherTokens(hookPoints));
  if (faults.length > 0) {
    await close();
    throw new InvalidInputError(faults);
  }
  const target = targets === null ? null : (hookPoints.at(-1) ?? null);
  const inputs = target === null ? hookPoints : hookPoints.slice(0, -1);
  return {
    locations,
    inputs,
    target,
    widths: { inputs: inputs.map(({ d_in }) => d_in), target: target?.d_in ?? null },
    rows: joinRows(hookPoints),
    held_out: heldOutOf(hookPoints),
    identify: (onRows, signal) => identify(inputs, target, onRows, signal),
    check: async (rows, signal) => {
      for (const one of hookPoints) {
        const { files } = one;
        if (one.set !== null) await scanRows(one.set, one.location, rows, signal);
        let left = rows;
        for (const file of files) {
          if (left > 0) await scanActivations(file, () => undefined, signal, left);
          left -= file.n_rows;
        }
      }
    },
    close,
  };
}

/** Rows beside one another must be the same tokens', and so they are only where the mask is the same. */
function otherTokens(hookPoints: readonly Activations[]): Fault[] {
  const masks = hookPoints.flatMap(({ location, set }) =>
    set?.manifest.format_version === 2
      ? [{ location, of: `${set.manifest.tokens_hash} ${set.manifest.mask.sha256}` }]
      : [],
  );
  const [first] = masks;
  return masks
    .filter(({ of }) => of !== first?.of)
    .map(({ location }) => ({
      path: "activations",
      message: `${first?.location} and ${location} keep rows of different tokens: row i of each must be the same token's. Capture their hook points together.`,
    }));
}

function heldOutOf(hookPoints: readonly Activations[]): RowReader | null {
  const readers = hookPoints.flatMap(({ set }) => set?.held_out ?? []);
  return readers.length === hookPoints.length ? joinRows(readers) : null;
}

async function identify(
  inputs: readonly Activations[],
  target: Activations | null,
  onRows: (rows: number, of: number) => void,
  signal: AbortSignal,
): Promise<HookPointIdentity[]> {
  const hookPoints = [
    ...inputs.map((one) => ({ role: "activations" as const, one })),
    ...(target === null ? [] : [{ role: "targets" as const, one: target }]),
  ];
  const total = hookPoints.reduce((sum, { one }) => sum + one.n_rows, 0);
  let done = 0;
  const identities: HookPointIdentity[] = [];
  for (const { role, one } of hookPoints) {
    const files: HookPointIdentity["files"] = [];
    if (one.set !== null) {
      const before = done;
      await one.set.verify(signal, (share) => {
        done = before + Math.round(share * one.n_rows);
        onRows(done, total);
      });
      const { sha256, dtype } = one.set.manifest;
      const stored = dtype === "float16" ? "F16" : "F32";
      const name = path.basename(one.location);
      files.push({ name, n_tokens: one.n_rows, width: one.d_in, dtype: stored, sha256 });
    }
    for (const file of one.files) {
      const count = (rows: number) => {
        done += rows;
        onRows(done, total);
      };
      const sha256 = await scanActivations(file, count, signal);
      const { n_rows, d_in, tensor } = file;
      files.push({
        name: path.basename(file.file),
        n_tokens: n_rows,
        width: d_in,
        dtype: tensor.dtype,
        sha256,
      });
    }
    identities.push({ role, files });
  }
  return identities;
}

/** Whether two are the same numbers in the same order, whatever their files are called. */
export function sameData(a: readonly HookPointIdentity[], b: readonly HookPointIdentity[]): boolean {
  const numbers = (of: readonly HookPointIdentity[]) =>
    JSON.stringify(of.map(({ role, files }) => [role, files.map(({ sha256, width }) => [sha256, width])]));
  return numbers(a) === numbers(b);
}
