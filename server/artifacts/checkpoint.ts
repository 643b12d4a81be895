import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import {
  readFloats,
  readSafetensorsHeader,
  readWords,
  safetensorsPieces,
  type TensorInfo,
} from "../../gpu/data/safetensors.ts";
import { type TrainingConfig, trainingConfigSchema } from "../../gpu/sae/config.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import type { TrainerState } from "../../gpu/sae/trainer.ts";
import { ServiceError } from "../errors.ts";
import { type WrittenFolder, writeFolder } from "./atomic-folder.ts";
import { hashSource, openFile } from "./file-source.ts";

/** A checkpoint that cannot be gone on from; take the one before it. */
export class CheckpointDamagedError extends ServiceError {
  override readonly name = "CheckpointDamagedError";
  constructor(folder: string, why: string, cause?: unknown) {
    super(
      "unavailable",
      `The checkpoint in ${folder} cannot be used: ${why}`,
      cause === undefined ? {} : { cause },
    );
  }
}

const stateFile = "state.safetensors";
const manifestFile = "manifest.json";

/** 1 held TopK's tensors alone, and their scale in the manifest; 2 steered by the mean of L0 itself. */
const formatVersion = 3;

const manifestSchema = z.strictObject({
  format_version: z.literal(formatVersion),
  facet_version: z.string(),
  /** Adapter it was written on; another one goes on from it, though not bit for bit. */
  adapter: z.string(),
  step: z.number().int().min(0),
  config: trainingConfigSchema,
  files: z.array(z.strictObject({ name: z.string(), bytes: z.number().int().min(0), sha256: z.string() })),
  /** SHA-256 over this manifest's JSON without this key. */
  checksum: z.string(),
});
export type CheckpointManifest = z.output<typeof manifestSchema>;

/**
 * Writes a run's whole state at a step: `state.safetensors` and `manifest.json`, whole or not at all.
 * Throws `StorageError`. The result's `sha256` is the folder's.
 */
export async function writeCheckpoint(
  folder: string,
  state: TrainerState,
  about: { config: TrainingConfig; adapter: string; facet_version: string },
): Promise<WrittenFolder> {
  const tensors = Object.entries(state.tensors).map(([name, tensor]) => ({ name, ...tensor }));
  const pieces = safetensorsPieces(tensors);
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return writeFolder(
    folder,
    async (writer) => {
      const written = await writer.file(stateFile, pieces);
      const body = {
        format_version: formatVersion,
        facet_version: about.facet_version,
        adapter: about.adapter,
        step: state.step,
        config: about.config,
        files: [written],
      };
      const manifest = { ...body, checksum: checksum(body) };
      await writer.file(manifestFile, [new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`)]);
    },
    bytes,
  );
}

function checksum(body: object): string {
  return createHash("sha256").update(JSON.stringify(body)).digest("hex");
}

/** Reads a checkpoint and verifies every hash in it. Throws `CheckpointDamagedError`, also when it is not there. */
export async function readCheckpoint(
  folder: string,
): Promise<{ state: TrainerState; manifest: CheckpointManifest }> {
  const manifest = await readManifest(folder);
  const expected = manifest.files.find((file) => file.name === stateFile);
  if (!expected) throw new CheckpointDamagedError(folder, `its manifest does not mention ${stateFile}.`);
  try {
    const source = await openFile(path.join(folder, stateFile));
    try {
      if (source.size !== expected.bytes) {
        const why = `${stateFile} has ${source.size} bytes instead of ${expected.bytes}.`;
        throw new CheckpointDamagedError(folder, why);
      }
      if ((await hashSource(source)) !== expected.sha256) {
        throw new CheckpointDamagedError(folder, `${stateFile} has been changed since it was written.`);
      }
      const header = await readSafetensorsHeader(source);
      const read = async (info: TensorInfo): Promise<StateTensor> => ({
        shape: info.shape,
        data: info.dtype === "U32" ? await readWords(source, info) : await readFloats(source, info),
      });
      const tensors: Record<string, StateTensor> = {};
      for (const [name, info] of header.tensors) tensors[name] = await read(info);
      return {
        manifest,
        state: { step: manifest.step, tensors },
      };
    } finally {
      await source.close();
    }
  } catch (error) {
    if (error instanceof CheckpointDamagedError) throw error;
    throw new CheckpointDamagedError(folder, `${stateFile} cannot be read (${words(error)}).`, error);
  }
}

async function readManifest(folder: string): Promise<CheckpointManifest> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path.join(folder, manifestFile), "utf8"));
  } catch (error) {
    throw new CheckpointDamagedError(folder, `${manifestFile} cannot be read (${words(error)}).`, error);
  }
  const version = z.object({ format_version: z.number() }).safeParse(parsed);
  if (version.success && version.data.format_version !== formatVersion) {
    const why = `it has format ${version.data.format_version}, written by another version of Facet; this one reads format ${formatVersion}. Go on with that version, or begin the run anew.`;
    throw new CheckpointDamagedError(folder, why);
  }
  const manifest = manifestSchema.safeParse(parsed);
  if (!manifest.success) {
    throw new CheckpointDamagedError(folder, `${manifestFile} is incomplete.`, manifest.error);
  }
  const { checksum: stated, ...body } = parsed as CheckpointManifest;
  if (checksum(body) !== stated) {
    throw new CheckpointDamagedError(folder, `${manifestFile} has been changed since it was written.`);
  }
  return manifest.data;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
