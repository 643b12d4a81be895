/**
 * A WebAssembly module with one function, written out here byte by byte (webassembly.github.io/spec, binary format):
 * the matrix product in four-wide SIMD, which scalar JavaScript would take several times as long for. It computes
 * exactly what IEEE 754 says in a fixed order, so that training gives the same bits on every machine.
 */

const i32 = 0x7f;
const v128 = 0x7b;

/** LEB128 without a sign. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

/** LEB128 with a sign, for constants below 64. */
const small = (value: number): number[] => [value & 0x7f];

const text = (value: string): number[] => [...unsigned(value.length), ...new TextEncoder().encode(value)];
const section = (id: number, body: number[]): number[] => [id, ...unsigned(body.length), ...body];

const get = (local: number): number[] => [0x20, ...unsigned(local)];
const set = (local: number): number[] => [0x21, ...unsigned(local)];
const constant = (value: number): number[] => [0x41, ...small(value)];
const add = [0x6a];
const multiply = [0x6c];
const simd = (op: number): number[] => [0xfd, ...unsigned(op)];
const load = (offset: number): number[] => [...simd(0), 0, ...unsigned(offset)];
const loadSplat = [...simd(9), 2, 0];
const store = (offset: number): number[] => [...simd(11), 0, ...unsigned(offset)];
const vectorAdd = simd(228);
const vectorMultiply = simd(230);
const zeros = [...simd(12), ...new Array<number>(16).fill(0)];

/** Runs `body` while `counter` is below `end`; the body advances the counter. Once at least. */
const loop = (counter: number, end: number, body: number[]): number[] => [
  ...[0x03, 0x40],
  ...body,
  ...[...get(counter), ...get(end), 0x48, 0x0d, 0],
  0x0b,
];
const when = (condition: number[], yes: number[], no: number[]): number[] => [
  ...condition,
  ...[0x04, 0x40],
  ...yes,
  0x05,
  ...no,
  0x0b,
];
const advance = (local: number, by: number[]): number[] => [...get(local), ...by, ...add, ...set(local)];

/** Rows and vectors of four columns that the inner loop keeps in registers. */
const tileRows = 4;
const tileVectors = 2;

/** multiply(a, aRow, aColumn, b, bRow, c, cRow, m, n, k, accumulate); places and strides in bytes. */
const [a, aRow, aColumn, b, bRow, c, cRow, m, n, k, accumulate] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] as const;
const [i, j, step, bAt, cAt, aAt, aBlock] = [11, 12, 13, 14, 15, 16, 17] as const;
const firstVector = 18;
const sum = (row: number, vector: number): number => firstVector + row * tileVectors + vector;
const column = (vector: number): number => firstVector + tileRows * tileVectors + vector;
const splat = column(tileVectors);
const vectors = splat - firstVector + 1;

const rows = Array.from({ length: tileRows }, (_, row) => row);
const columns = Array.from({ length: tileVectors }, (_, vector) => vector);
const rowOf = (start: number, stride: number, row: number): number[] =>
  row === 0 ? get(start) : [...get(start), ...get(stride), ...constant(row), ...multiply, ...add];

const innermost = [
  ...columns.flatMap((vector) => [...get(bAt), ...load(16 * vector), ...set(column(vector))]),
  ...rows.flatMap((row) => [
    ...rowOf(aAt, aRow, row),
    ...loadSplat,
    ...set(splat),
    ...columns.flatMap((vector) => [
      ...get(sum(row, vector)),
      ...get(splat),
      ...get(column(vector)),
      ...vectorMultiply,
      ...vectorAdd,
      ...set(sum(row, vector)),
    ]),
  ]),
  ...advance(aAt, get(aColumn)),
  ...advance(bAt, get(bRow)),
  ...advance(step, constant(1)),
];

const each = (body: (row: number, vector: number) => number[]): number[] =>
  rows.flatMap((row) => columns.flatMap((vector) => body(row, vector)));

const tile = [
  ...[
    ...get(c),
    ...get(i),
    ...get(cRow),
    ...multiply,
    ...add,
    ...get(j),
    ...constant(2),
    0x74,
    ...add,
    ...set(cAt),
  ],
  ...when(
    get(accumulate),
    each((row, vector) => [...rowOf(cAt, cRow, row), ...load(16 * vector), ...set(sum(row, vector))]),
    each((row, vector) => [...zeros, ...set(sum(row, vector))]),
  ),
  ...[...get(aBlock), ...set(aAt)],
  ...[...get(b), ...get(j), ...constant(2), 0x74, ...add, ...set(bAt)],
  ...[...constant(0), ...set(step)],
  ...loop(step, k, innermost),
  ...each((row, vector) => [...rowOf(cAt, cRow, row), ...get(sum(row, vector)), ...store(16 * vector)]),
  ...advance(aBlock, [...get(aRow), ...constant(tileRows), ...multiply]),
  ...advance(i, constant(tileRows)),
];

const body = [
  ...[2, ...unsigned(firstVector - i), i32, ...unsigned(vectors), v128],
  ...[...constant(0), ...set(j)],
  ...loop(j, n, [
    ...[...constant(0), ...set(i), ...get(a), ...set(aBlock)],
    ...loop(i, m, tile),
    ...advance(j, constant(4 * tileVectors)),
  ]),
  0x0b,
];

/** The module; it imports its memory as `host.memory` and exports `multiply`. */
export const matmulModule = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [1, 0x60, accumulate + 1, ...new Array<number>(accumulate + 1).fill(i32), 0]),
  ...section(2, [1, ...text("host"), ...text("memory"), 0x02, 0x00, 0]),
  ...section(3, [1, 0]),
  ...section(7, [1, ...text("multiply"), 0x00, 0]),
  ...section(10, [1, ...unsigned(body.length), ...body]),
]);
