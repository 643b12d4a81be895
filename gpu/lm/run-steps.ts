import { encodeDispatches } from "../device/dispatch.ts";
import type { Gpu } from "../device/gpu.ts";
import { packStep } from "../kernels/step.ts";
import type { Step } from "./plan-ops.ts";

/** Steps of one submit, so that a large model's pass is no single long one for the driver. */
const stepsPerSubmit = 64;

/** The scalars of a pass over `rows` rows. @param first position of the first row. */
export function passStep(rows: number, first = 0): ArrayBuffer {
  return packStep({
    rows,
    number: 1,
    step_size: 0,
    second_moment_scale: 1,
    sparsity_coefficient: 0,
    k: 0,
    threshold_scale: 1,
    first,
  });
}

/** @param position of the first row. */
export function submitSteps({ device }: Gpu, steps: readonly Step[], rows: number, position = 0): void {
  for (let first = 0; first < steps.length; first += stepsPerSubmit) {
    const encoder = device.createCommandEncoder({ label: "language model" });
    let pass: GPUComputePassEncoder | null = null;
    for (const step of steps.slice(first, first + stepsPerSubmit)) {
      if ("dispatch" in step) {
        pass ??= encoder.beginComputePass({ label: "language model" });
        encodeDispatches(pass, [step.dispatch]);
      } else {
        pass?.end();
        pass = null;
        const { from, to, rowBytes, which } = step;
        const [source, count] = which === "last" ? [rows - 1, 1] : [0, rows];
        const destination = which === "positions" ? position : 0;
        encoder.copyBufferToBuffer(from, source * rowBytes, to, destination * rowBytes, count * rowBytes);
      }
    }
    pass?.end();
    device.queue.submit([encoder.finish()]);
  }
}
