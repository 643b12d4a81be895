/** The part of yauzl 3 that is used here; the package has no declarations of its own. */
declare module "yauzl" {
  import type { EventEmitter } from "node:events";

  export interface Entry {
    readonly fileName: string;
    readonly fileNameRaw: Buffer;
    readonly compressionMethod: number;
    readonly crc32: number;
    readonly compressedSize: number;
    readonly uncompressedSize: number;
    readonly relativeOffsetOfLocalHeader: number;
    isEncrypted(): boolean;
  }

  export interface LocalFileHeader {
    readonly fileDataStart: number;
    readonly compressionMethod: number;
    readonly fileName: Buffer;
  }

  export interface ZipFile extends EventEmitter {
    readonly entryCount: number;
    eachEntry(): AsyncIterableIterator<Entry>;
    readLocalFileHeaderPromise(entry: Entry): Promise<LocalFileHeader>;
  }

  export class RandomAccessReader extends EventEmitter {
    read(
      buffer: Buffer,
      offset: number,
      length: number,
      position: number,
      callback: (error: Error | null, bytesRead?: number) => void,
    ): void;
  }

  export function fromRandomAccessReaderPromise(
    reader: RandomAccessReader,
    totalSize: number,
    options: { autoClose: boolean; strictFileNames: boolean },
  ): Promise<ZipFile>;
}
