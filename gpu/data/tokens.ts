/** What a token of a packed sequence is; stored as a byte beside its id. Only text is trained on. */
export const tokenKind = { text: 0, special: 1, padding: 2 } as const;

/** Packed token sequences, readable anywhere. */
export interface TokenReader {
  readonly n_sequences: number;
  /** Tokens of a sequence. */
  readonly length: number;
  /** Ids of the sequences first … first + count − 1, [count, length]. */
  read(first: number, count: number): Promise<Uint32Array<ArrayBuffer>>;
  /** Their kinds (`tokenKind`), [count, length]. */
  kinds(first: number, count: number): Promise<Uint8Array<ArrayBuffer>>;
}
