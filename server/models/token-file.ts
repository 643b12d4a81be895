import {
  readElements,
  readSafetensorsHeader,
  type SafetensorsHeader,
  type TensorInfo,
} from "../../gpu/data/safetensors.ts";
import type { FileSource } from "../artifacts/file-source.ts";
import { ServiceError } from "../errors.ts";
import { openRegularFile } from "../formats/regular-file.ts";
import { asFormatError, SaeFormatError } from "../formats/sae-format-error.ts";
import { describeTensor } from "../formats/tensor-file.ts";

/** Token ids that a model cannot be run on; the message says why. */
export class TokenFileError extends ServiceError {
  override readonly name = "TokenFileError";
  constructor(message: string, cause?: unknown) {
    super("invalid", message, cause === undefined ? {} : { cause });
  }
}

/** What the ids must fit. */
export interface TokenLimits {
  /** Ids are below this. */
  vocabulary: number;
  /** Positions of the longest sequence that the model takes. */
  positions: number;
}

/** Token ids [n_sequences, length], open for reading. */
export interface TokenFile {
  readonly n_sequences: number;
  readonly length: number;
  /** What in the file is not used though it might matter. */
  readonly notes: readonly string[];
  /**
   * Ids of the sequences first … first + count − 1, [count, length].
   * @throws TokenFileError naming the first that is not in the vocabulary
   */
  read(first: number, count: number): Promise<Uint32Array<ArrayBuffer>>;
  close(): Promise<void>;
}

const tensorName = "input_ids";
/** Checked at a time. */
const idsTogether = 2 ** 20;

/**
 * Opens a safetensors file with `input_ids` [n_sequences, length], I32, U32 or I64. No id is read yet.
 * @throws TokenFileError
 */
export async function openTokenFile(file: string, limits: TokenLimits): Promise<TokenFile> {
  const source = await openRegularFile(file).catch((error: unknown) => {
    throw asTokenError(file, error);
  });
  try {
    const header = await readSafetensorsHeader(source);
    const info = idsIn(header, file);
    const [n_sequences = 0, length = 0] = info.shape;
    if (length > limits.positions) {
      throw new TokenFileError(
        `${file} has sequences of ${length} tokens, but the model takes at most ${limits.positions}. Cut them shorter.`,
      );
    }
    return {
      n_sequences,
      length,
      notes: header.tensors.has("attention_mask")
        ? [`${file} holds an attention_mask, which is not used: every id counts as a token.`]
        : [],
      read: (first, count) => readIds(file, source, info, first, count, limits.vocabulary),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw asTokenError(file, error);
  }
}

/** Reads every id once. Throws `TokenFileError`, and the reason of `signal`. */
export async function checkTokens(tokens: TokenFile, signal: AbortSignal): Promise<void> {
  const together = Math.max(1, Math.floor(idsTogether / tokens.length));
  for (let first = 0; first < tokens.n_sequences; first += together) {
    signal.throwIfAborted();
    await tokens.read(first, Math.min(together, tokens.n_sequences - first));
  }
}

function idsIn({ tensors }: SafetensorsHeader, file: string): TensorInfo {
  const info = tensors.get(tensorName);
  const wanted = "I32, U32 or I64 [n_sequences, length]";
  if (info === undefined) {
    const there = [...tensors.values()]
      .slice(0, 10)
      .map((one) => `${one.name.slice(0, 80)} ${describeTensor(one)}`);
    throw new TokenFileError(
      `${file} has no tensor ${tensorName}, which is to be ${wanted}. It holds: ${there.join("; ") || "nothing"}.`,
    );
  }
  if (!["I32", "U32", "I64"].includes(info.dtype) || info.shape.length !== 2) {
    throw new TokenFileError(
      `${file}: ${tensorName} is ${describeTensor(info)}, but is to be ${wanted}. Save it so.`,
    );
  }
  if (info.shape.includes(0)) {
    throw new TokenFileError(`${file}: ${tensorName} is ${describeTensor(info)}; there must be a token.`);
  }
  return info;
}

async function readIds(
  file: string,
  source: FileSource,
  info: TensorInfo,
  first: number,
  count: number,
  vocabulary: number,
): Promise<Uint32Array<ArrayBuffer>> {
  const length = info.shape[1]!;
  const bytes = await readElements(source, info, first * length, count * length).catch((error: unknown) => {
    throw asTokenError(file, error);
  });
  // Copied, for a view of words may not begin anywhere.
  const words = new Uint32Array(bytes.byteLength / 4);
  new Uint8Array(words.buffer).set(bytes);
  const ids = info.dtype === "I64" ? words.filter((_, index) => index % 2 === 0) : words;
  const upper = (index: number) => (info.dtype === "I64" ? words[2 * index + 1]! : 0);
  for (let index = 0; index < ids.length; index++) {
    // A negative number's highest bit is set, so it is too large as well.
    if (ids[index]! < vocabulary && upper(index) === 0) continue;
    const view = new DataView(words.buffer);
    const id =
      info.dtype === "I64"
        ? view.getBigInt64(8 * index, true)
        : info.dtype === "I32"
          ? view.getInt32(4 * index, true)
          : ids[index]!;
    throw new TokenFileError(
      `${file}: sequence ${first + Math.floor(index / length)} has the id ${id} at position ${index % length} (both from 0), but the model's ids are 0 to ${vocabulary - 1}. Take the ids from this model's tokenizer.`,
    );
  }
  return ids;
}

function asTokenError(file: string, error: unknown): unknown {
  const told = asFormatError(file, error);
  return told instanceof SaeFormatError ? new TokenFileError(told.message, told) : told;
}
