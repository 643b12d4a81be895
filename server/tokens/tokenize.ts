import { createHash, hash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import packageJson from "../../package.json" with { type: "json" };
import { writeFolder } from "../artifacts/atomic-folder.ts";
import { type Dataset, type DatasetDocument, openDataset } from "../datasets/dataset.ts";
import { DatasetError } from "../datasets/dataset-error.ts";
import { LengthHistogram } from "../datasets/length-histogram.ts";
import { ConflictError, InvalidInputError } from "../errors.ts";
import type { Encoded } from "./encode.ts";
import { type Encoders, ownEncoder, threadEncoders } from "./encoders.ts";
import { manifestFile, readTokenSetManifest, type TokenSetManifest } from "./manifest.ts";
import { type ModelTokenizer, openModelTokenizer } from "./model-tokenizer.ts";
import {
  formatVersion,
  type Packing,
  packingFor,
  type TokenizeOptionsInput,
  tokenSetHash,
} from "./options.ts";
import { Packer } from "./packer.ts";
import { openTokenSet } from "./token-set.ts";
import { TokenWriter } from "./token-writer.ts";
import { TokenizerError } from "./tokenizer-error.ts";

export interface TokenizeProgress {
  /** `already_done`: the folder holds the tokens of this very input, and nothing was written. */
  stage: "encoding" | "already_done";
  documents: number;
  total_documents: number;
  /** Of the documents, without what packing adds. */
  tokens: number;
}

export interface Tokenization {
  /** Folder of a dataset. */
  dataset: string;
  /** Folder of a model with its tokenizer.json and config.json; its weights are not read. */
  model: string;
  /** Made by it; one that holds something else is refused. */
  folder: string;
  options: TokenizeOptionsInput;
  /** Threads that encode; the result is the same with any number. Null: as many as the machine has cores, as far as they pay. 0: the caller's own. */
  workers?: number | null;
  signal: AbortSignal;
  onProgress(progress: TokenizeProgress): void;
}

/** A tokenization that has been checked and not begun. */
export interface TokenizationPlan {
  packing: Packing;
  /** Of dataset, tokenizer and options: the same input has the same one. */
  hash: string;
}

/** Text that a batch has about, in bytes. */
const batchBytes = 512 * 1_024;
/** Text for which another thread pays: it takes a second or so to start. */
const workerBytes = 4 * 2 ** 20;
const maxWorkers = 64;
const maxDocuments = 2 ** 32 - 1;

/** What a tokenization would be, before any work. Throws as `tokenizeDataset` does for what is wrong. */
export async function planTokenization(
  request: Pick<Tokenization, "dataset" | "model" | "options">,
): Promise<TokenizationPlan> {
  const dataset = await openDataset(request.dataset);
  try {
    const model = await openModelTokenizer(request.model);
    const packing = packingFor(model, request.options);
    return { packing, hash: tokenSetHash(dataset.manifest, model, packing) };
  } finally {
    await dataset.close();
  }
}

/**
 * Encodes a dataset's documents with a model's own tokenizer and packs them into sequences, in `folder`, which appears
 * once it is whole. Where the folder holds the tokens of the same input already, they are returned at once.
 * @throws TokenizerError, DatasetError, InvalidInputError for input that is wrong; ConflictError for a folder in use; the
 * reason of `signal`
 */
export async function tokenizeDataset(request: Tokenization): Promise<TokenSetManifest> {
  const { folder, signal, onProgress } = request;
  const dataset = await openDataset(request.dataset);
  try {
    const model = await openModelTokenizer(request.model);
    const packing = packingFor(model, request.options);
    const identity = tokenSetHash(dataset.manifest, model, packing);
    const workers = workersFor(request.workers ?? null, dataset.manifest.bytes);
    const there = await tokensIn(folder, identity);
    if (there !== null) {
      const { n_documents } = there;
      const tokens = Math.round(there.tokens_per_character * there.n_characters);
      onProgress({ stage: "already_done", documents: n_documents, total_documents: n_documents, tokens });
      return there;
    }
    signal.throwIfAborted();
    const encoders = workers === 0 ? ownEncoder(model) : threadEncoders(model, workers, signal);
    try {
      return await write({ request, dataset, model, packing, identity, encoders });
    } finally {
      await encoders.close();
    }
  } finally {
    await dataset.close();
  }
}

function workersFor(wanted: number | null, bytes: number): number {
  if (wanted === null) {
    if (bytes <= batchBytes) return 0;
    return Math.max(1, Math.min(availableParallelism(), maxWorkers, Math.floor(bytes / workerBytes)));
  }
  if (Number.isInteger(wanted) && wanted >= 0 && wanted <= maxWorkers) return wanted;
  const message = `Workers are a whole number from 0 to ${maxWorkers}, not ${wanted}.`;
  throw new InvalidInputError([{ path: "workers", message }]);
}

/** The set that the folder holds, if it is that of the same input. Throws `ConflictError` where it holds anything else. */
async function tokensIn(folder: string, identity: string): Promise<TokenSetManifest | null> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR") return ["a file"];
    throw error;
  });
  if (names.length === 0) return null;
  const manifest = names.includes(manifestFile) ? await readTokenSetManifest(folder) : null;
  if (manifest?.hash === identity) {
    const set = await openTokenSet(folder);
    await set.close();
    return manifest;
  }
  throw new ConflictError(
    manifest === null
      ? `${folder} holds something else already; name another folder.`
      : `${folder} holds the tokens of another dataset, tokenizer or options; name another folder.`,
  );
}

interface Work {
  request: Tokenization;
  dataset: Dataset;
  model: ModelTokenizer;
  packing: Packing;
  identity: string;
  encoders: Encoders;
}

async function write(work: Work): Promise<TokenSetManifest> {
  const { request, model, packing } = work;
  const dtype = model.vocab_size <= 65_536 ? ("uint16" as const) : ("uint32" as const);
  const { result } = await writeFolder(request.folder, async (folder) => {
    const writer = new TokenWriter(folder, packing.context_size, dtype);
    try {
      const packer = new Packer(packing, model);
      const { lengths, tokens } = await encodeAll(work, packer, writer);
      const { dropped, ...rest } = packer.end();
      await writer.add(rest);
      const written = await writer.end();
      if (written.n_sequences === 0) throw tooShort(packing, tokens);
      const manifest = manifestOf(work, { ...written, dtype, n_dropped_tokens: dropped }, lengths, tokens);
      await folder.file(manifestFile, [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
      return manifest;
    } catch (error) {
      await writer.abandon();
      throw error;
    }
  });
  return result;
}

function tooShort({ context_size }: Packing, tokens: number): TokenizerError {
  return new TokenizerError(
    `The dataset has ${tokens} tokens, which do not fill a sequence of ${context_size}. Take a smaller context_size, or the remainder "pad".`,
  );
}

async function encodeAll(
  { request, dataset, encoders }: Work,
  packer: Packer,
  writer: TokenWriter,
): Promise<{ lengths: LengthHistogram; tokens: number }> {
  const { signal, onProgress } = request;
  const { n_documents, sha256 } = dataset.manifest;
  if (n_documents > maxDocuments) {
    throw new DatasetError(
      `The dataset has ${n_documents} documents; ${maxDocuments} is the most that are packed.`,
    );
  }
  const lengths = new LengthHistogram();
  const texts = createHash("sha256");
  const underWay: { documents: DatasetDocument[]; encoded: Promise<Encoded> }[] = [];
  let tokens = 0;
  const packNext = async () => {
    const { documents, encoded } = underWay.shift()!;
    const { ids, counts } = await encoded;
    let at = 0;
    for (const [number, { index }] of documents.entries()) {
      const count = counts[number]!;
      packer.add(index, ids.subarray(at, at + count));
      lengths.add(count);
      at += count;
    }
    tokens += at;
    await writer.add(packer.take());
    const done = documents.at(-1)!.index + 1;
    onProgress({ stage: "encoding", documents: done, total_documents: n_documents, tokens });
  };
  for await (const documents of dataset.batches(0, batchBytes)) {
    signal.throwIfAborted();
    for (const { text } of documents) texts.update(hash("sha256", text, "buffer"));
    const encoded = encoders.encode(documents.map(({ index, text }) => ({ index, text })));
    // It is told when its turn comes.
    encoded.catch(() => undefined);
    underWay.push({ documents, encoded });
    if (underWay.length >= encoders.together) await packNext();
  }
  while (underWay.length > 0) await packNext();
  signal.throwIfAborted();
  if (texts.digest("hex") !== sha256) {
    throw new DatasetError(
      `The documents in ${request.dataset} are not those that were imported: their hash is another. Import the dataset again.`,
    );
  }
  return { lengths, tokens };
}

type Written = Awaited<ReturnType<TokenWriter["end"]>> & Pick<TokenSetManifest, "dtype" | "n_dropped_tokens">;

function manifestOf(
  { dataset, model, packing, identity }: Work,
  written: Written,
  lengths: LengthHistogram,
  tokens: number,
): TokenSetManifest {
  const { name, sha256, n_documents, n_characters } = dataset.manifest;
  const { n_sequences, ...rest } = written;
  return {
    format_version: formatVersion,
    hash: identity,
    dataset: { name, sha256 },
    tokenizer: { model: model.name, sha256: model.sha256, vocab_size: model.vocab_size },
    options: packing,
    bos_id: model.bos_id,
    eos_id: model.eos_id,
    pad_id: model.pad_id,
    special_ids: [...model.special_ids],
    n_sequences,
    held_out_sequences: heldOut(n_sequences, packing.held_out),
    n_documents,
    n_characters,
    document_tokens: lengths.summary(),
    tokens_per_character: tokens / n_characters,
    ...rest,
    facet_version: packageJson.version,
    created_at: new Date().toISOString(),
  };
}

/** Sequences at the end that are kept from training; some is left to train on. */
function heldOut(n_sequences: number, share: number): number {
  if (share === 0 || n_sequences < 2) return 0;
  return Math.min(n_sequences - 1, Math.max(1, Math.round(share * n_sequences)));
}
