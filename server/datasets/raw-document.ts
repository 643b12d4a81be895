/** A scalar column's value. */
export type MetaValue = string | number | boolean | null;
export type DocumentMeta = Readonly<Record<string, MetaValue>>;

/** A document as a reader finds it, not yet stored. */
export interface RawDocument {
  /** Null or empty: there is none in this place. */
  text: string | null;
  meta: DocumentMeta | null;
  /** The column that holds the text; null where there are no columns. */
  column: string | null;
  /** "line 3": where in the file it stands. */
  place: string;
}
