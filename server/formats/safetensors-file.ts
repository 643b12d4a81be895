import { readElements, readSafetensorsHeader } from "../../gpu/data/safetensors.ts";
import { openRegularFile } from "./regular-file.ts";
import { asFormatError } from "./sae-format-error.ts";
import { elementsOf, type StoredTensor, type TensorFile } from "./tensor-file.ts";

export interface SafetensorsFile extends TensorFile {
  readonly metadata: ReadonlyMap<string, string>;
  /** Of the whole file. */
  readonly bytes: number;
}

/** Throws `SaeFormatError`. */
export async function openSafetensorsFile(file: string): Promise<SafetensorsFile> {
  try {
    const source = await openRegularFile(file);
    try {
      const header = await readSafetensorsHeader(source);
      const tensors = new Map<string, StoredTensor>();
      for (const [name, info] of header.tensors) {
        const bytes = async () => {
          try {
            return await readElements(source, info, 0, elementsOf(info));
          } catch (error) {
            throw asFormatError(file, error);
          }
        };
        tensors.set(name, { name, dtype: info.dtype, shape: info.shape, bytes });
      }
      return { file, bytes: source.size, metadata: header.metadata, tensors, close: () => source.close() };
    } catch (error) {
      await source.close();
      throw error;
    }
  } catch (error) {
    throw asFormatError(file, error);
  }
}
