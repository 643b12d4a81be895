import { readFile } from "node:fs/promises";
import { create } from "webgpu";
import { isSoftware } from "./capabilities.ts";
import { NoAdapterError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";
import { openAdapter } from "./opened-gpu.ts";
import { findSoftwareVulkan, vulkanDriversInstalled, withVulkanDriver } from "./software-vulkan.ts";

export interface OpenOptions {
  /**
   * Undefined: the best hardware adapter, a software one only when there is no other.
   * "software": a software adapter. Anything else: the first adapter whose name contains it.
   */
  adapter?: string;
  /** Most bytes the ledger hands out. Default: what is free where the GPU shares the CPU's memory, else no bound. */
  budgetBytes?: number;
  /** Keeps every bounds check and zero-fill, so that a shader's mistake gives wrong numbers, not a crash. For tests. */
  robust?: boolean;
}

interface FoundAdapter {
  adapter: GPUAdapter;
  name: string;
}

/**
 * Dawn's instances by what they were made with, kept for good: one that is collected soon after a device of its was
 * closed takes the process down (Dawn's event loop still refers to it).
 */
const instances = new Map<string, GPU>();

function dawn(flags: string[]): GPU {
  const key = JSON.stringify([process.env.VK_ICD_FILENAMES, flags]);
  let instance = instances.get(key);
  if (instance === undefined) {
    instance = create(flags);
    instances.set(key, instance);
  }
  return instance;
}

/**
 * Opens a GPU through Dawn. Close it with `close()`, or the process may not end.
 * @throws NoAdapterError with what to install or which adapters there are.
 */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  const wanted = options.adapter;
  const software = findSoftwareVulkan();
  let found: FoundAdapter | null = null;
  if (vulkanDriversInstalled()) found = await findAdapter(wanted, options.robust ?? false);
  if (found === null && software !== null) {
    found = await withVulkanDriver(software, () => findAdapter(wanted, options.robust ?? false));
  }
  if (found === null) throw new NoAdapterError(refusal(wanted, await listEverything(software)));
  const { adapter, name } = found;
  return openAdapter({
    adapter,
    name,
    budgetBytes: options.budgetBytes ?? defaultBudget(adapter),
    readShader: (url) => readFile(url, "utf8"),
  });
}

/** Dawn's own switches ("toggles"), set once per instance. */
function dawnFlags(robust: boolean): string[] {
  const enabled = [
    // Subgroup matrices, and f16 on NVIDIA, are hidden without these two.
    "allow_unsafe_apis",
    "vulkan_enable_f16_on_nvidia",
    ...(robust
      ? []
      : ["disable_robustness", "disable_workgroup_init", "disable_polyfills_on_integer_div_and_mod"]),
  ];
  // Quantised timestamps come in steps of 65.5 µs, longer than many kernels.
  return [`enable-dawn-features=${enabled.join(",")}`, "disable-dawn-features=timestamp_quantization"];
}

async function findAdapter(wanted: string | undefined, robust: boolean): Promise<FoundAdapter | null> {
  const names = await adapterNames();
  let fallback: FoundAdapter | null = null;
  for (const name of names) {
    if (wanted !== undefined && wanted !== "software" && !matches(name, wanted)) continue;
    const instance = dawn([...dawnFlags(robust), `adapter=${name}`]);
    const adapter = await instance.requestAdapter({ powerPreference: "high-performance" });
    if (adapter === null) continue;
    const candidate = { adapter, name };
    const software = isSoftware(adapter.info);
    if (wanted === "software" ? software : wanted !== undefined || !software) return candidate;
    if (wanted === undefined) fallback ??= candidate;
  }
  return fallback;
}

function matches(name: string, wanted: string): boolean {
  return name.toLowerCase().includes(wanted.toLowerCase());
}

/**
 * Names of the adapters Dawn sees, in the Vulkan loader's order, which puts discrete GPUs first. WebGPU cannot
 * enumerate; asking Dawn for a name that nobody has makes it refuse with the list.
 */
async function adapterNames(): Promise<string[]> {
  try {
    await dawn(["adapter=(list)"]).requestAdapter();
    return [];
  } catch (refused) {
    const message = refused instanceof Error ? refused.message : String(refused);
    return [...message.matchAll(/backend: '(?!null)[^']*', name: '(.*)'$/gm)].flatMap(
      ([, name]) => name ?? [],
    );
  }
}

async function listEverything(software: string | null): Promise<string[]> {
  const own = vulkanDriversInstalled() ? await adapterNames() : [];
  const more = software === null ? [] : await withVulkanDriver(software, adapterNames);
  return [...new Set([...own, ...more])];
}

function refusal(wanted: string | undefined, names: string[]): string {
  if (names.length > 0) {
    return `No adapter matches "${wanted}". There ${names.length === 1 ? "is" : "are"}: ${names.join(", ")}.`;
  }
  return (
    "No GPU found: Vulkan offers no adapter. Install the GPU's Vulkan driver, or, to train on the CPU, " +
    "run `apt install libvulkan1 chromium` (Chromium brings a software Vulkan driver)."
  );
}

/**
 * Where CPU and GPU share memory (software adapters, Jetson, Apple) the bound is what the machine has free now.
 * Elsewhere WebGPU tells no memory size, and only the driver can refuse.
 */
function defaultBudget(adapter: GPUAdapter): number {
  const shared = isSoftware(adapter.info) || process.arch === "arm64";
  return shared ? process.availableMemory() : Number.POSITIVE_INFINITY;
}
