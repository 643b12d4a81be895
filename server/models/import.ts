import path from "node:path";
import { parameterCount } from "../../gpu/lm/model-spec.ts";
import packageJson from "../../package.json" with { type: "json" };
import { writeWholeFile } from "../artifacts/atomic-file.ts";
import { checkSpace, folderHash, type WrittenFile } from "../artifacts/atomic-folder.ts";
import { storageError } from "../artifacts/storage-error.ts";
import { ServiceError } from "../errors.ts";
import { downloadFile } from "../hub/download.ts";
import type { HubOptions } from "../hub/hub-options.ts";
import { copyFile } from "./import-copy.ts";
import { PartialFolder } from "./import-partial.ts";
import { type ModelSource, openSource, type SourceFile, type SourceFiles } from "./import-source.ts";
import { checkWeights, tensorsOf, weightFilesOf } from "./import-weights.ts";
import { type ModelManifest, manifestFile } from "./manifest.ts";
import { openModelFolder } from "./model-folder.ts";
import { previewFiles } from "./preview.ts";

export type { ModelSource };

/** A model that is not imported, for it could not be run; the message says why and what to do about it. */
export class ModelRefusedError extends ServiceError {
  override readonly name = "ModelRefusedError";
  constructor(message: string) {
    super("invalid", message);
  }
}

export interface ModelImport {
  source: ModelSource;
  /** Folder to make; must not be there, or be empty. */
  folder: string;
  hub: HubOptions;
  signal: AbortSignal;
  onProgress?: (progress: ModelImportProgress) => void;
}

export interface ModelImportProgress {
  phase: "looking" | "copying" | "checking";
  /** The file at hand; empty while there is none. */
  file: string;
  /** Of all files, on the disk so far. */
  bytes: number;
  total_bytes: number;
  /** Why nothing comes, such as a wait that the hub asks for. */
  note: string | null;
}

/**
 * Copies or downloads what of a model is needed to run it, checks that it opens and has every weight, and only then
 * gives the folder its name. Until then it is `<folder>.partial`: a download that was cut off or called off goes on from
 * there when it is asked for again; of a folder that was being copied nothing is left.
 * @throws ModelRefusedError before any weight is copied, HubError, ModelFolderError, ConflictError where the folder is
 * there already, StorageError, and the reason of `signal`
 */
export async function importModel({
  source,
  folder,
  hub,
  signal,
  onProgress = () => undefined,
}: ModelImport): Promise<ModelManifest> {
  const target = path.resolve(folder);
  const blank = { file: "", bytes: 0, total_bytes: 0, note: null };
  onProgress({ phase: "looking", ...blank });
  const tell = (note: string) => onProgress({ phase: "looking", ...blank, note });
  const from = await openSource(source, hub, signal, tell);
  const preview = await previewFiles(from, hub, signal);
  if (preview.reason !== null) throw new ModelRefusedError(preview.reason);
  try {
    // A commit is the same by whatever name it was asked for.
    const contents = { ...from.origin, revision: undefined };
    const partial = await PartialFolder.open(target, contents, source.kind === "hub");
    try {
      await checkSpace(partial.path, preview.download_bytes - (await partial.bytes()));
      const files = await fetched(
        from,
        preview.files.map(({ name }) => name),
        partial.path,
        hub,
        signal,
        onProgress,
      );
      onProgress({
        phase: "checking",
        ...blank,
        bytes: preview.download_bytes,
        total_bytes: preview.download_bytes,
      });
      const manifest = await manifestOf(from, files, partial.path, hub, signal);
      await writeWholeFile(path.join(partial.path, manifestFile), async (file) => {
        await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
      });
      signal.throwIfAborted();
      await partial.publish([...files.map(({ name }) => name), manifestFile]);
      return manifest;
    } catch (error) {
      await (source.kind === "hub" ? partial.leave() : partial.remove());
      throw error;
    }
  } catch (error) {
    throw storageError(path.dirname(target), error);
  }
}

async function fetched(
  from: SourceFiles,
  names: readonly string[],
  folder: string,
  hub: HubOptions,
  signal: AbortSignal,
  onProgress: (progress: ModelImportProgress) => void,
): Promise<WrittenFile[]> {
  const wanted = names.map((name) => ({ name, file: from.files.get(name)! }));
  const total_bytes = wanted.reduce((sum, { file }) => sum + file.bytes, 0);
  const written: WrittenFile[] = [];
  let before = 0;
  for (const { name, file } of wanted) {
    const onBytes = (bytes: number, note?: string) =>
      onProgress({ phase: "copying", file: name, bytes: before + bytes, total_bytes, note: note ?? null });
    written.push({ name, ...(await fetchOne(file, path.join(folder, name), hub, signal, onBytes)) });
    before += file.bytes;
  }
  return written;
}

function fetchOne(
  { at, bytes }: SourceFile,
  to: string,
  hub: HubOptions,
  signal: AbortSignal,
  onBytes: (bytes: number, note?: string) => void,
): Promise<{ bytes: number; sha256: string }> {
  return at.kind === "hub"
    ? downloadFile(hub, at.file, to, signal, onBytes)
    : copyFile(at.path, to, bytes, signal, onBytes);
}

/** Opens what has been put together, as it will be opened later. Throws `ModelFolderError`. */
async function manifestOf(
  from: SourceFiles,
  files: WrittenFile[],
  folder: string,
  hub: HubOptions,
  signal: AbortSignal,
): Promise<ModelManifest> {
  const model = await openModelFolder(folder);
  await model.close();
  const made = await openSource({ kind: "folder", path: folder }, hub, signal, () => undefined);
  checkWeights(from.name, model.spec, await tensorsOf(made, await weightFilesOf(made), signal));
  return {
    format_version: 1,
    source: from.origin,
    model_type: model.spec.model_type,
    parameters: parameterCount(model.spec),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    files,
    sha256: folderHash(files),
    imported_at: new Date().toISOString(),
    facet_version: packageJson.version,
  };
}
