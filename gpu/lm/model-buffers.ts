import type { Gpu } from "../device/gpu.ts";
import type { Allocation, ForwardPlan } from "./allocation.ts";
import { familyWeights } from "./families/index.ts";
import { drained, findWeight, uploadWeight } from "./load-weights.ts";
import type { ModelSpec } from "./model-spec.ts";
import { scalesOf, storedAs } from "./precision.ts";
import { rotaryTable } from "./rotary-table.ts";
import type { WeightSource } from "./weights.ts";

/** The buffers of one open model, by name. */
export class ModelBuffers {
  readonly #gpu: Gpu;
  readonly #buffers = new Map<string, GPUBuffer>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  allocate(name: string, { bytes, usage }: Allocation): void {
    this.#buffers.set(name, this.#gpu.ledger.allocate(`language model/${name}`, bytes, usage));
  }

  get(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) throw new Error(`The language model holds no "${name}".`);
    return buffer;
  }

  close(): void {
    for (const buffer of this.#buffers.values()) this.#gpu.ledger.free(buffer);
    this.#buffers.clear();
  }
}

/**
 * Every buffer of a plan, weights and tables in place.
 * @throws ModelWeightsError before anything is allocated; the ledger's errors; nothing stays allocated then.
 */
export async function loadModel(
  gpu: Gpu,
  spec: ModelSpec,
  weights: WeightSource,
  plan: ForwardPlan,
): Promise<ModelBuffers> {
  const names = familyWeights(spec);
  const found = Array.from(
    plan.program.weights,
    ([name, weight]) => [name, findWeight(weights, names, weight)] as const,
  );
  const buffers = new ModelBuffers(gpu);
  try {
    for (const [name, allocation] of plan.buffers) buffers.allocate(name, allocation);
    for (const [name, weight] of found) {
      const scaled = storedAs(weight.plan.weight, plan.precision) === "int8";
      const scales = scaled ? buffers.get(scalesOf(name)) : null;
      const target = { buffer: buffers.get(name), precision: plan.precision, scales };
      await uploadWeight(gpu, weights, weight, target);
    }
    for (const [name, rotary] of plan.program.tables) {
      gpu.device.queue.writeBuffer(buffers.get(name), 0, rotaryTable(rotary, plan.length));
    }
    await drained(gpu);
    return buffers;
  } catch (error) {
    buffers.close();
    throw error;
  }
}
