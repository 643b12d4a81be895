import { float16Bits } from "../../gpu/data/to-float16.ts";
import type { Gpu } from "../../gpu/device/gpu.ts";
import { readFloat32 } from "../../gpu/device/readback.ts";
import { type LanguageModel, NonFiniteModelError } from "../../gpu/lm/language-model.ts";
import { pitch, unpad } from "../../gpu/lm/layout.ts";
import { ActivationSetError } from "../artifacts/activation-tensor.ts";
import type { CapturedManifest } from "../artifacts/captured-manifest.ts";

/** Where a number stands in a token set. */
export interface ValuePlace {
  hook: string;
  sequence: number;
  /** Token of the sequence. */
  position: number;
}

/** The largest numbers of each. */
const largest = { float16: 65_504, float32: (2 - 2 ** -23) * 2 ** 127 } as const;

/**
 * An activation that cannot be kept: it is not finite, or too large for a half. Behind attention the token may be one before
 * that where it began, in the same sequence: a weight of zero times infinity is no number either.
 */
export class CaptureValueError extends ActivationSetError {
  readonly place: ValuePlace;
  readonly value: number;
  constructor(place: ValuePlace, value: number) {
    const why = Number.isFinite(value)
      ? `, and float16 ends at ${largest.float16}. Capture it as float32.`
      : ". The model's weights are damaged, or do not go with its config.json; or its numbers do not fit in f32.";
    super(`${place.hook} is ${value} at token ${place.position} of sequence ${place.sequence}${why}`);
    this.place = place;
    this.value = value;
  }
}

/** Rows of whole sequences of a hook point. */
interface Rows {
  hook: string;
  /** Number of the first sequence. */
  first: number;
  /** Tokens of a sequence. */
  length: number;
  width: number;
}

/**
 * Rows as they are stored.
 * @param values [n · length, width]
 * @throws CaptureValueError for a number that is not finite, or that a half cannot hold
 */
export function storedBytes(
  values: Float32Array<ArrayBuffer>,
  dtype: CapturedManifest["dtype"],
  rows: Rows,
): Uint8Array {
  const most = largest[dtype];
  for (let index = 0; index < values.length; index++) {
    // So that NaN is found too.
    if (Math.abs(values[index]!) <= most) continue;
    throw new CaptureValueError(placeOf(index, rows), values[index]!);
  }
  if (dtype === "float16") return new Uint8Array(float16Bits(values).buffer);
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function placeOf(index: number, { hook, first, length, width }: Rows): ValuePlace {
  const row = Math.floor(index / width);
  return { hook, sequence: first + Math.floor(row / length), position: row % length };
}

/**
 * The activations of a batch of sequences, by hook point.
 * @param first Number of its first sequence.
 * @throws CaptureValueError where the model says that one is not finite, at the first such token; it does not look at all
 */
export async function forwardFrom(
  gpu: Gpu,
  model: LanguageModel,
  hooks: readonly string[],
  ids: Uint32Array,
  first: number,
): Promise<Map<string, Float32Array<ArrayBuffer>>> {
  try {
    return await model.forward(ids);
  } catch (error) {
    if (!(error instanceof NonFiniteModelError)) throw error;
    // What the pass gave still lies there.
    throw (await nonFinite(gpu, model, hooks, ids.length, first)) ?? error;
  }
}

async function nonFinite(
  gpu: Gpu,
  model: LanguageModel,
  hooks: readonly string[],
  tokens: number,
  first: number,
): Promise<CaptureValueError | null> {
  const { length } = model;
  const found: { at: ValuePlace; value: number }[] = [];
  for (const hook of hooks) {
    const { buffer, layout } = model.activation(hook);
    const padded = await readFloat32(gpu, buffer, 0, 4 * tokens * pitch(layout));
    const values = unpad(padded as Float32Array<ArrayBuffer>, layout);
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad < 0) continue;
    const rows = { hook, first, length, width: values.length / tokens };
    found.push({ at: placeOf(bad, rows), value: values[bad]! });
  }
  const order = ({ at }: (typeof found)[number]) => at.sequence * length + at.position;
  const [earliest] = found.toSorted((a, b) => order(a) - order(b));
  if (earliest === undefined) return null;
  return new CaptureValueError(earliest.at, earliest.value);
}
