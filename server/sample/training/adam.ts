import { type Parameter, parametersOf, type Shape } from "./shape.ts";

export interface AdamOptions {
  beta1: number;
  beta2: number;
  /** Decoupled (Loshchilov and Hutter 2019), of matrices alone. */
  weight_decay: number;
  /** The gradient's norm is at most this. */
  clip: number;
}

/** AdamW over the one array of all parameters. */
export class Adam {
  readonly first: Float32Array<ArrayBuffer>;
  readonly second: Float32Array<ArrayBuffer>;
  readonly #options: AdamOptions;
  readonly #parameters: Parameter[];

  constructor(shape: Shape, options: AdamOptions) {
    this.#options = options;
    this.#parameters = [...parametersOf(shape).values()];
    const count = this.#parameters.reduce((sum, parameter) => sum + parameter.count, 0);
    this.first = new Float32Array(count);
    this.second = new Float32Array(count);
  }

  /** Step `step`, from 1 on, at the rate `lr`. Gives the gradient's norm before it was clipped. */
  step(values: Float32Array, gradients: Float32Array, step: number, lr: number): number {
    const { beta1, beta2, weight_decay, clip } = this.#options;
    let squares = 0;
    for (let i = 0; i < gradients.length; i++) squares += gradients[i]! * gradients[i]!;
    const norm = Math.sqrt(squares);
    const scale = norm > clip ? clip / norm : 1;
    const size = lr / (1 - beta1 ** step);
    const correction = 1 / (1 - beta2 ** step);
    for (const { at, count, decays } of this.#parameters) {
      const keep = decays ? 1 - lr * weight_decay : 1;
      for (let i = at; i < at + count; i++) {
        const gradient = gradients[i]! * scale;
        const first = beta1 * this.first[i]! + (1 - beta1) * gradient;
        const second = beta2 * this.second[i]! + (1 - beta2) * gradient * gradient;
        this.first[i] = first;
        this.second[i] = second;
        values[i] = values[i]! * keep - (size * first) / (Math.sqrt(second * correction) + 1e-8);
      }
    }
    return norm;
  }
}
