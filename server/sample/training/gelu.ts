/** GELU by the hyperbolic tangent, GPT-2's gelu_new: x (1 + tanh(s (x + c x³))) / 2. */
const s = Math.sqrt(2 / Math.PI);
const c = 0.044715;

const tanh = (x: number): number => 1 - 2 / (Math.exp(2 * x) + 1);

export function geluForward(f: Float32Array, x: number, y: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const value = f[x + i]!;
    f[y + i] = 0.5 * value * (1 + tanh(s * (value + c * value * value * value)));
  }
}

/** Turns dy, in place, into dx. */
export function geluBackward(f: Float32Array, x: number, dy: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const value = f[x + i]!;
    const turn = tanh(s * (value + c * value * value * value));
    const slope = 0.5 * (1 + turn) + 0.5 * value * (1 - turn * turn) * s * (1 + 3 * c * value * value);
    f[dy + i]! *= slope;
  }
}
