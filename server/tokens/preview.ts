import { tokenKind } from "../../gpu/data/tokens.ts";
import { openDataset } from "../datasets/dataset.ts";
import { InvalidInputError } from "../errors.ts";
import { encodeTexts, type TextToEncode } from "./encode.ts";
import { openModelTokenizer } from "./model-tokenizer.ts";
import { type Packing, packingFor, type TokenizeOptionsInput } from "./options.ts";
import { Packer } from "./packer.ts";
import { tokenPlaces, tokenTexts } from "./token-text.ts";

/** A token as it is shown. */
export interface TokenChip {
  id: number;
  /** What it stands for; bytes that are no whole character as `<0xE2>`. */
  text: string;
  kind: keyof typeof tokenKind;
  /** The document that it is of and its number in that, from 0; null for what packing puts in. */
  document: number | null;
  offset: number | null;
  /** Where it stands in the document, in UTF-16 code units; null also where the tokenizer changes texts first. */
  start: number | null;
  end: number | null;
}

export interface TokenPreview {
  packing: Packing;
  sequences: TokenChip[][];
  /** Documents whose text was cut for the preview, so that their last tokens may be others. */
  cut: number[];
}

export interface PreviewRequest {
  /** Folder. */
  model: string;
  source: { text: string } | { dataset: string; first: number; count: number };
  options: TokenizeOptionsInput;
  /** At most so many. */
  sequences: number;
}

const maxTextLength = 64 * 1_024;
const maxDocuments = 100;
const maxSequences = 100;

const kindNames = Object.fromEntries(Object.entries(tokenKind).map(([name, kind]) => [kind, name])) as Record<
  number,
  TokenChip["kind"]
>;

/**
 * The first sequences as they would be packed; what fills no sequence is shown as one padded, whatever the options.
 * @throws as `tokenizeDataset` does for what is wrong
 */
export async function previewTokens(request: PreviewRequest): Promise<TokenPreview> {
  const model = await openModelTokenizer(request.model);
  const packing = packingFor(model, request.options);
  const { texts, cut } = await textsOf(request);
  const { ids, counts } = encodeTexts(model.tokenizer, model.vocab_size, texts);
  const packer = new Packer({ ...packing, remainder: "pad" }, model);
  const show = tokenTexts(model.tokenizer, model.json);
  const places = new Map<number, ReturnType<typeof tokenPlaces>>();
  let at = 0;
  for (const [number, { index, text }] of texts.entries()) {
    const own = ids.subarray(at, at + counts[number]!);
    packer.add(index, own);
    places.set(
      index,
      tokenPlaces(
        text,
        Array.from(own, (id) => show(id).bytes),
      ),
    );
    at += own.length;
  }
  const parts = [packer.take(), packer.end()];
  const sequences = parts.flatMap(({ count, ids: packed, kinds, spans }) =>
    Array.from({ length: count }, (_, sequence) =>
      Array.from({ length: packing.context_size }, (_, position): TokenChip => {
        const id = packed[sequence * packing.context_size + position]!;
        const kind = kindNames[kinds[sequence * packing.context_size + position]!]!;
        const span = spans[sequence]!.find(({ first, last }) => first <= position && position <= last);
        const document = span?.document ?? null;
        const offset = span === undefined ? null : span.offset + position - span.first;
        const place = document === null ? null : places.get(document)?.[offset!];
        const { start, end } = place ?? { start: null, end: null };
        return { id, text: show(id).shown, kind, document, offset, start, end };
      }),
    ),
  );
  const most = Math.max(1, Math.min(request.sequences, maxSequences));
  return { packing, sequences: sequences.slice(0, most), cut };
}

async function textsOf({ source }: PreviewRequest): Promise<{ texts: TextToEncode[]; cut: number[] }> {
  if ("text" in source) {
    if (source.text.length <= maxTextLength) return { texts: [{ index: 0, text: source.text }], cut: [] };
    const message = `A preview is of at most ${maxTextLength} characters, not ${source.text.length}.`;
    throw new InvalidInputError([{ path: "text", message }]);
  }
  const dataset = await openDataset(source.dataset);
  try {
    const texts: TextToEncode[] = [];
    const cut: number[] = [];
    let room = maxTextLength;
    for (let index = source.first; index < source.first + Math.min(source.count, maxDocuments); index++) {
      const [document] = room > 0 ? await dataset.read(index, 1) : [];
      if (document === undefined) break;
      const { text } = document;
      // Not between the halves of a character.
      const end = text.length <= room ? text.length : room - (/[\uDC00-\uDFFF]/.test(text[room]!) ? 1 : 0);
      if (end < text.length) cut.push(index);
      texts.push({ index, text: text.slice(0, end) });
      room -= text.length;
    }
    return { texts, cut };
  } finally {
    await dataset.close();
  }
}
