import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import type { ByteSource } from "../../gpu/data/safetensors.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import type { RemoteFile } from "../hub/download.ts";
import type { HubOptions } from "../hub/hub-options.ts";
import { remoteSource } from "../hub/remote-source.ts";
import { listRepository } from "../hub/repository.ts";
import type { ManifestSource } from "./manifest.ts";
import { asModelError, ModelFolderError } from "./model-folder-error.ts";

/** Where a model is imported from: a folder of this machine, or a repository of the hub. */
export type ModelSource = { kind: "folder"; path: string } | { kind: "hub"; repo: string; revision: string };

/** A file of a model, where it is. */
export interface SourceFile {
  bytes: number;
  at: { kind: "folder"; path: string } | { kind: "hub"; file: RemoteFile };
}

/** The files of a model that is not imported yet. */
export interface SourceFiles {
  /** The folder's own name, or the repository's. */
  name: string;
  origin: ManifestSource;
  gated: boolean;
  /** By name; what lies in folders within is no part of a model. */
  files: ReadonlyMap<string, SourceFile>;
  /** Reads of a file, closed after. */
  read<T>(name: string, use: (source: ByteSource) => Promise<T>): Promise<T>;
}

/** @throws HubError, ModelFolderError, and the reason of `signal` */
export function openSource(
  source: ModelSource,
  hub: HubOptions,
  signal: AbortSignal,
  tell: (words: string) => void,
): Promise<SourceFiles> {
  return source.kind === "folder"
    ? openFolder(source.path)
    : openRepository(source.repo, source.revision, hub, signal, tell);
}

async function openFolder(folder: string): Promise<SourceFiles> {
  const files = new Map<string, SourceFile>();
  try {
    for (const name of await readdir(folder)) {
      const file = path.join(folder, name);
      // Links are followed: in Hugging Face's cache every file is one.
      const found = await stat(file).catch(() => null);
      if (found?.isFile()) files.set(name, { bytes: found.size, at: { kind: "folder", path: file } });
    }
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new ModelFolderError(`There is no folder ${folder}.`, error);
    throw asModelError(folder, error);
  }
  const name = path.basename(path.resolve(folder));
  return {
    name,
    origin: { kind: "folder", name },
    gated: false,
    files,
    async read(file, use) {
      const source = await openRegularFile(path.join(folder, file)).catch((error: unknown) => {
        throw asModelError(file, error);
      });
      try {
        return await use(source);
      } finally {
        await source.close();
      }
    },
  };
}

async function openRepository(
  repo: string,
  revision: string,
  hub: HubOptions,
  signal: AbortSignal,
  tell: (words: string) => void,
): Promise<SourceFiles> {
  const { commit, gated, files } = await listRepository(hub, { type: "model", repo, revision }, signal, tell);
  const remote = new Map(
    files
      .filter((file) => !file.path.includes("/"))
      .map((file): [string, RemoteFile] => [file.path, { ...file, type: "model", repo, commit }]),
  );
  return {
    name: repo,
    origin: { kind: "hub", hub: new URL(hub.url).host, repo, revision, commit },
    gated,
    files: new Map(
      [...remote].map(([name, file]) => [name, { bytes: file.size, at: { kind: "hub", file } }] as const),
    ),
    async read(name, use) {
      const file = remote.get(name);
      if (file === undefined) throw new ModelFolderError(`${repo} has no ${name}.`);
      return use(remoteSource(hub, file, signal, tell));
    },
  };
}
