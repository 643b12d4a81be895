import { deviceDescriptor, readCapabilities } from "./capabilities.ts";
import type { Capabilities, Gpu } from "./gpu.ts";
import { ByteLedger } from "./ledger.ts";
import { PipelineCache } from "./pipelines.ts";
import type { ReadShader } from "./shaders.ts";

export interface AdapterOptions {
  adapter: GPUAdapter;
  /** Human name, where the platform tells it. */
  name?: string;
  budgetBytes: number;
  readShader: ReadShader;
}

/**
 * Requests the one device of a fresh adapter and puts the library's own parts around it. An adapter is used up by
 * this: Dawn refuses a second device from it and can crash at exit, so nobody may ask the adapter again.
 */
export async function openAdapter(options: AdapterOptions): Promise<Gpu> {
  const device = await options.adapter.requestDevice(deviceDescriptor(options.adapter));
  return new OpenedGpu(device, options);
}

class OpenedGpu implements Gpu {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  readonly ledger: ByteLedger;
  readonly pipelines: PipelineCache;
  readonly lost: Promise<{ reason: string; message: string }>;
  #closed = false;
  #firstError: string | null = null;

  constructor(device: GPUDevice, { adapter, name, budgetBytes, readShader }: AdapterOptions) {
    this.device = device;
    this.capabilities = readCapabilities(adapter, device, name);
    this.ledger = new ByteLedger(device, budgetBytes);
    this.pipelines = new PipelineCache(device, readShader);
    device.addEventListener("uncapturederror", ({ error }) => {
      this.#firstError ??= error.message;
    });
    this.lost = new Promise((resolve) => {
      device.lost.then(({ reason, message }) => {
        if (!this.#closed) resolve({ reason, message });
      });
    });
  }

  uncapturedError(): string | null {
    return this.#firstError;
  }

  close(): void {
    this.#closed = true;
    this.device.destroy();
  }
}
