import { joinRows } from "../../gpu/data/joined-rows.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import {
  type ActivationSet,
  ActivationSetError,
  type ActivationSetManifest,
  openActivationSet,
} from "../artifacts/activation-set.ts";
import { setFolder } from "./delete.ts";

/** Stored rows open for reading; close them. */
export interface StoredRows {
  /** Rows of all sets side by side. */
  rows: RowReader;
  /** The same of rows that are never trained on; null where one of the sets keeps none apart. */
  held_out: RowReader | null;
  manifests: ActivationSetManifest[];
  close(): Promise<void>;
}

/** Opens sets and joins their rows in the order given. Throws `ActivationSetError`; nothing stays open then. */
export async function openStoredRows(home: string, setIds: readonly string[]): Promise<StoredRows> {
  const opened: ActivationSet[] = [];
  const close = async () => {
    await Promise.all(opened.map((set) => set.close()));
  };
  try {
    for (const id of setIds) opened.push(await openActivationSet(setFolder(home, id)));
    refuseOtherTokens(opened);
    const held_out = opened.flatMap((set) => set.held_out ?? []);
    return {
      rows: joinRows(opened),
      held_out: held_out.length === opened.length ? joinRows(held_out) : null,
      manifests: opened.map(({ manifest }) => manifest),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Row i of each must be the same token's. Of captured sets that is known: it is where they left out the same of the same
 * tokens. Throws `ActivationSetError`.
 */
function refuseOtherTokens(sets: readonly ActivationSet[]): void {
  const captured = sets.flatMap(({ manifest }) => (manifest.format_version === 2 ? [manifest] : []));
  const [first] = captured;
  const other = captured.find(
    ({ tokens_hash, mask }) => tokens_hash !== first?.tokens_hash || mask.sha256 !== first.mask.sha256,
  );
  if (first === undefined || other === undefined) return;
  throw new ActivationSetError(
    `The sets of ${first.hook_name} and ${other.hook_name} hold rows of different tokens: other text, or other tokens left out. Capture their hook points together.`,
  );
}
