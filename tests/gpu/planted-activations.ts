import { RandomStream } from "../../gpu/sae/random.ts";

/** Sparse combinations of fixed directions plus noise, off-centre: what a dictionary can learn. f32 [rows, width]. */
export function plantedActivations(rows: number, width: number, seed: number): Float32Array {
  const random = new RandomStream(seed);
  const directions = Float64Array.from({ length: 2 * width * width }, () => random.normal());
  const x = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < width; i++) x[r * width + i] = 0.5 + 0.1 * random.normal();
    for (let a = 0; a < 3; a++) {
      const feature = random.u32() % (2 * width);
      const strength = 1 + random.uniform();
      for (let i = 0; i < width; i++) x[r * width + i]! += strength * directions[feature * width + i]!;
    }
  }
  return x;
}
