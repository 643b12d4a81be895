/**
 * Maximum-weight one-to-one assignment of rows to columns: shortest augmenting paths with dual prices
 * (Jonker and Volgenant, Computing 38, 1987), O(rows² · columns) at worst.
 * `weights` is [rows, columns] row-major with rows <= columns; the result gives every row its own column.
 */
export function assign(weights: Float32Array, rows: number, columns: number): Uint32Array {
  if (rows > columns) throw new RangeError(`${rows} rows cannot have a column each of ${columns}.`);
  const none = -1;
  const rowOf = new Int32Array(columns).fill(none);
  const rowPrice = new Float64Array(rows);
  const columnPrice = new Float64Array(columns);
  const distance = new Float64Array(columns);
  const cameFrom = new Int32Array(columns);
  const settled = new Uint8Array(columns);

  for (let start = 0; start < rows; start++) {
    distance.fill(Number.POSITIVE_INFINITY);
    settled.fill(0);
    const path: number[] = [];
    let row = start;
    let from = none;
    let reached = 0;
    let free = none;
    // Dijkstra over reduced costs −weight − rowPrice − columnPrice, from the new row to the nearest free column.
    while (free === none) {
      let nearest = none;
      let least = Number.POSITIVE_INFINITY;
      for (let column = 0; column < columns; column++) {
        if (settled[column]) continue;
        const cost = reached - weights[row * columns + column]! - rowPrice[row]! - columnPrice[column]!;
        if (cost < distance[column]!) {
          distance[column] = cost;
          cameFrom[column] = from;
        }
        if (distance[column]! < least) {
          least = distance[column]!;
          nearest = column;
        }
      }
      reached = least;
      settled[nearest] = 1;
      path.push(nearest);
      if (rowOf[nearest] === none) {
        free = nearest;
      } else {
        from = nearest;
        row = rowOf[nearest]!;
      }
    }
    rowPrice[start]! += reached;
    for (const column of path) {
      if (column === free) continue;
      rowPrice[rowOf[column]!]! += reached - distance[column]!;
      columnPrice[column]! -= reached - distance[column]!;
    }
    for (let column = free; column !== none; ) {
      const before = cameFrom[column]!;
      rowOf[column] = before === none ? start : rowOf[before]!;
      column = before;
    }
  }
  const columnOf = new Uint32Array(rows);
  for (let column = 0; column < columns; column++) {
    if (rowOf[column] !== none) columnOf[rowOf[column]!] = column;
  }
  return columnOf;
}
