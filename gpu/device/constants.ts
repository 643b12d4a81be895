/**
 * The flag constants of the WebGPU specification, by number. Browsers have them as globals, Node has not,
 * and the library touches no globals: import these instead of `GPUBufferUsage` and `GPUMapMode`.
 */
export const bufferUsage = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  INDIRECT: 0x0100,
  QUERY_RESOLVE: 0x0200,
} as const;

export const mapMode = { READ: 0x0001, WRITE: 0x0002 } as const;
