import path from "node:path";

/** Where an uploaded file stands until it was read, so that reading it can be tried again, in another way too. */
export function keptUpload(home: string, datasetId: string, fileName: string): string {
  return path.join(home, "uploads", `${datasetId}${endingOf(fileName)}`);
}

/** ".jsonl.gz" of "a.b.jsonl.gz"; only letters and digits, so that it can stand in a path. */
export function endingOf(fileName: string): string {
  return /(?:\.[A-Za-z0-9]{1,10}){1,2}$/.exec(fileName)?.[0] ?? "";
}
