import { Turns } from "./turns.ts";

const none = -1;

/**
 * Maximum-weight one-to-one assignment of rows to columns: shortest augmenting paths with dual prices
 * (Jonker and Volgenant, Computing 38, 1987). `weights` is [rows, columns] row-major with rows <= columns; the result
 * gives every row its own column.
 *
 * A column that has no row yet has price 0, so of those a path only ever takes its row's heaviest: paths run through
 * taken columns alone, O(rows³ / 3) at worst, which is rows that all want the same columns. 4,096 rows and 16,384
 * columns take about a second where most rows want a column of their own. Lets the event loop in now and then.
 */
export async function assign(weights: Float32Array, rows: number, columns: number): Promise<Uint32Array> {
  if (rows > columns) throw new RangeError(`${rows} rows cannot have a column each of ${columns}.`);
  const turns = new Turns();
  const rowPrice = new Float64Array(rows);
  // Taken columns, in the order in which they were: which, whose, at what price, and a copy of all rows' weights there,
  // [row, t], so that the innermost loop reads memory in order.
  const taken = new Uint32Array(rows);
  const owner = new Uint32Array(rows);
  const price = new Float64Array(rows);
  const copied = new Float32Array(rows * rows);
  const isTaken = new Uint8Array(columns);
  const heaviest = new HeaviestFree(weights, columns, isTaken);
  // Of the search at hand: how far each taken column is, through which it was reached, whether that is final.
  const distance = new Float64Array(rows);
  const cameFrom = new Int32Array(rows);
  const settled = new Uint8Array(rows);

  for (let start = 0; start < rows; start++) {
    distance.fill(Number.POSITIVE_INFINITY, 0, start);
    settled.fill(0, 0, start);
    const path: number[] = [];
    let row = start;
    let from = none;
    let reached = 0;
    let free = 0;
    let freeDistance = Number.POSITIVE_INFINITY;
    let freeFrom = none;
    // Dijkstra over reduced costs −weight − rowPrice − price, from the new row to the nearest free column.
    for (;;) {
      const base = reached - rowPrice[row]!;
      const column = heaviest.of(row);
      const cost = base - weights[row * columns + column]!;
      if (cost < freeDistance) {
        freeDistance = cost;
        free = column;
        freeFrom = from;
      }
      let nearest = none;
      let least = freeDistance;
      const place = row * rows;
      for (let t = 0; t < start; t++) {
        if (settled[t] === 1) continue;
        const cost = base - copied[place + t]! - price[t]!;
        if (cost < distance[t]!) {
          distance[t] = cost;
          cameFrom[t] = from;
        }
        if (distance[t]! < least) {
          least = distance[t]!;
          nearest = t;
        }
      }
      reached = least;
      if (nearest === none) break;
      settled[nearest] = 1;
      path.push(nearest);
      from = nearest;
      row = owner[nearest]!;
    }
    rowPrice[start]! += reached;
    for (const t of path) {
      rowPrice[owner[t]!]! += reached - distance[t]!;
      price[t]! -= reached - distance[t]!;
    }
    // Each column on the way to the free one gets the row of the column before it, the first one the new row.
    let at = start;
    for (let before = freeFrom; before !== none; before = cameFrom[before]!) {
      owner[at] = owner[before]!;
      at = before;
    }
    owner[at] = start;
    taken[start] = free;
    isTaken[free] = 1;
    for (let other = 0; other < rows; other++)
      copied[other * rows + start] = weights[other * columns + free]!;
    await turns.pause();
  }
  const columnOf = new Uint32Array(rows);
  for (const [t, column] of taken.entries()) columnOf[owner[t]!] = column;
  return columnOf;
}

/** Free columns of a row that are kept at hand, heaviest first; more are looked for when all of them are taken. */
const atHand = 32;

/** Finds the heaviest column of a row that is not taken yet. Taken columns never become free again. */
class HeaviestFree {
  readonly #weights: Float32Array;
  readonly #columns: number;
  readonly #isTaken: Uint8Array;
  readonly #found = new Map<number, number[]>();

  constructor(weights: Float32Array, columns: number, isTaken: Uint8Array) {
    this.#weights = weights;
    this.#columns = columns;
    this.#isTaken = isTaken;
  }

  of(row: number): number {
    let found = this.#found.get(row) ?? [];
    while (found.length > 0 && this.#isTaken[found.at(-1)!] === 1) found.pop();
    if (found.length === 0) {
      found = this.#search(row);
      this.#found.set(row, found);
    }
    return found.at(-1)!;
  }

  /** The heaviest free columns, lightest first. */
  #search(row: number): number[] {
    const start = row * this.#columns;
    const weight = (column: number) => this.#weights[start + column]!;
    const found: number[] = [];
    for (let column = 0; column < this.#columns; column++) {
      if (this.#isTaken[column] === 1) continue;
      const own = weight(column);
      if (found.length === atHand) {
        if (own <= weight(found[0]!)) continue;
        found.shift();
      }
      let place = found.length;
      while (place > 0 && weight(found[place - 1]!) >= own) place--;
      found.splice(place, 0, column);
    }
    return found;
  }
}
