import type { ByteLedger } from "./ledger.ts";
import type { PipelineCache } from "./pipelines.ts";

/** What the opened adapter is and can do; plain data, fit for a database row or a report. */
export interface Capabilities {
  /** Human name, e.g. "SwiftShader Device (Subzero)" or "NVIDIA Tegra Orin (nvgpu)". */
  adapter: string;
  vendor: string;
  architecture: string;
  driver: string;
  /** True for adapters that render on the CPU. */
  software: boolean;
  timestamps: boolean;
  shader_f16: boolean;
  subgroup_min_size: number;
  subgroup_max_size: number;
  /** `MxNxK a→c` forms of subgroup matrices, empty where there are none. */
  subgroup_matrices: string[];
  limits: {
    max_storage_buffer_binding_size: number;
    max_buffer_size: number;
    max_compute_workgroup_storage_size: number;
    max_compute_invocations_per_workgroup: number;
    max_compute_workgroups_per_dimension: number;
    max_storage_buffers_per_shader_stage: number;
  };
}

/**
 * An open device with everything the library needs of it. Made by `openGpu` of node.ts or browser.ts;
 * the rest of gpu/ never asks where it came from.
 */
export interface Gpu {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  readonly ledger: ByteLedger;
  readonly pipelines: PipelineCache;
  /** Resolves, never rejects, when the device is lost for another reason than close(). */
  readonly lost: Promise<{ reason: string; message: string }>;
  /** First uncaptured validation or memory error since the device was opened, if any. */
  uncapturedError(): string | null;
  close(): void;
}
