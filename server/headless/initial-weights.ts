import { readFloats, readSafetensorsHeader, SafetensorsError } from "../../gpu/data/safetensors.ts";
import type { StateTensor } from "../../gpu/sae/sae.ts";
import { openFile } from "../artifacts/file-source.ts";
import { ServiceError } from "../errors.ts";

/** A file of weights to start from that cannot be read as such; the message says why. */
export class InitialWeightsError extends ServiceError {
  override readonly name = "InitialWeightsError";
  constructor(message: string, cause?: unknown) {
    super("invalid", message, cause === undefined ? {} : { cause });
  }
}

/**
 * All tensors of a safetensors file, F32, F16 or BF16, as float32. Whether they are an SAE's is for the trainer to say.
 * @throws InitialWeightsError for a file that is missing or damaged, and for numbers that are not finite.
 */
export async function readInitialWeights(file: string): Promise<Record<string, StateTensor>> {
  const source = await openFile(file).catch((cause: unknown) => {
    throw new InitialWeightsError(`The weights to start from cannot be read: ${words(cause)}.`, cause);
  });
  try {
    const { tensors } = await readSafetensorsHeader(source);
    const weights: Record<string, StateTensor> = {};
    for (const [name, info] of tensors) {
      const data = await readFloats(source, info);
      const bad = data.findIndex((value) => !Number.isFinite(value));
      if (bad !== -1) {
        throw new InitialWeightsError(
          `${file}: number ${bad} of "${name}" is ${data[bad]}; weights to start from must be finite.`,
        );
      }
      weights[name] = { shape: info.shape, data };
    }
    return weights;
  } catch (error) {
    if (error instanceof SafetensorsError) throw new InitialWeightsError(`${file}: ${error.message}`, error);
    throw error;
  } finally {
    await source.close();
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
