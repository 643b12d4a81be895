import { stat } from "node:fs/promises";
import { type FileSource, openFile } from "../artifacts/file-source.ts";
import { asFormatError, SaeFormatError } from "./sae-format-error.ts";

/** Opens a file for reading; a pipe or a device, which could keep its reader for ever, is refused. Throws `SaeFormatError`. */
export async function openRegularFile(file: string): Promise<FileSource> {
  try {
    const found = await stat(file);
    if (found.isFile()) return await openFile(file);
    const what = found.isDirectory() ? "a folder" : "a pipe or a device";
    throw new SaeFormatError(`${file} is ${what}, but a file is needed there. Copy or download it again.`);
  } catch (error) {
    throw asFormatError(file, error);
  }
}
