/** Longest document, in bytes of UTF-8: what a tokenizer takes at once in some hundreds of megabytes of memory. */
export const maxDocumentBytes = 16 * 2 ** 20;
/** Longest line of JSON and record of CSV: a document whose every character may be escaped, and its columns. */
export const maxRecordBytes = 2 * maxDocumentBytes;
/** Bytes that files are read by. */
export const pieceBytes = 2 ** 20;
