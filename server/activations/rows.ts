import { joinRows } from "../../gpu/data/joined-rows.ts";
import type { RowReader } from "../../gpu/data/shuffle.ts";
import {
  type ActivationSet,
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
