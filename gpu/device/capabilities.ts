import type { Capabilities } from "./gpu.ts";

/** Features the library uses where the adapter has them. */
const wantedFeatures = new Set([
  "timestamp-query",
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
]);

/** Limits that size tensors, tiles and bindings. All others stay at WebGPU's defaults. */
const wantedLimits = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBuffersPerShaderStage",
] as const;

/** Shape of an entry of Chromium's `GPUAdapterInfo.subgroupMatrixConfigs`, which is not in the specification yet. */
interface SubgroupMatrixConfig {
  componentType: string;
  resultComponentType: string;
  M: number;
  N: number;
  K: number;
}

/** A device descriptor that asks for the adapter's own maxima, since an unrequested limit stays at the portable default. */
export function deviceDescriptor(adapter: GPUAdapter): GPUDeviceDescriptor {
  const requiredLimits: Record<string, number> = {};
  for (const name of wantedLimits) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = [...adapter.features].filter((name) =>
    wantedFeatures.has(name),
  ) as GPUFeatureName[];
  return { label: "facet", requiredFeatures, requiredLimits };
}

/**
 * What a device can do, from the adapter it was requested of (subgroup matrices are reported by the adapter only)
 * and the device itself.
 * @param name the adapter's human name where the platform tells it, else made from its info.
 */
export function readCapabilities(adapter: GPUAdapter, device: GPUDevice, name?: string): Capabilities {
  const { info } = adapter;
  const { features, limits } = device;
  return {
    adapter: name ?? (info.description || info.device || `${info.vendor} ${info.architecture}`.trim()),
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    software: isSoftware(info),
    timestamps: features.has("timestamp-query"),
    shader_f16: features.has("shader-f16"),
    subgroup_min_size: features.has("subgroups") ? (info.subgroupMinSize ?? 0) : 0,
    subgroup_max_size: features.has("subgroups") ? (info.subgroupMaxSize ?? 0) : 0,
    subgroup_matrices: features.has("chromium-experimental-subgroup-matrix") ? subgroupMatrices(info) : [],
    limits: {
      max_storage_buffer_binding_size: limits.maxStorageBufferBindingSize,
      max_buffer_size: limits.maxBufferSize,
      max_compute_workgroup_storage_size: limits.maxComputeWorkgroupStorageSize,
      max_compute_invocations_per_workgroup: limits.maxComputeInvocationsPerWorkgroup,
      max_compute_workgroups_per_dimension: limits.maxComputeWorkgroupsPerDimension,
      max_storage_buffers_per_shader_stage: limits.maxStorageBuffersPerShaderStage,
    },
  };
}

/** Whether an adapter renders on the CPU. Dawn marks these as fallback adapters; the names cover older marks. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return (
    info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe/i.test(`${info.architecture} ${info.device}`)
  );
}

function subgroupMatrices(info: GPUAdapterInfo): string[] {
  if (!("subgroupMatrixConfigs" in info)) return [];
  const configs = info.subgroupMatrixConfigs as Iterable<SubgroupMatrixConfig>;
  return [...configs].map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType}→${c.resultComponentType}`);
}
