import { NoAdapterError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";
import { openAdapter } from "./opened-gpu.ts";

/** A tab does not learn how much memory the GPU has, and should not take it all. */
const defaultBudgetBytes = 2 * 2 ** 30;

/**
 * Opens the browser's best GPU. Close it with `close()`.
 * @throws NoAdapterError with what the visitor can do.
 */
export async function openGpu(options: { budgetBytes?: number } = {}): Promise<Gpu> {
  if (!("gpu" in navigator)) {
    throw new NoAdapterError(
      globalThis.isSecureContext
        ? "This browser has no WebGPU. Use a current Chrome, Edge, Safari 26 or Firefox, or train on a server."
        : "WebGPU is only available on pages served over https or from localhost.",
    );
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new NoAdapterError(
      "WebGPU is there, but no GPU adapter. Turn on hardware acceleration in the browser's settings; " +
        "without a GPU, start Chromium with --enable-unsafe-webgpu to use its software adapter.",
    );
  }
  return openAdapter({
    adapter,
    budgetBytes: options.budgetBytes ?? defaultBudgetBytes,
    readShader: fetchText,
  });
}

async function fetchText(url: URL): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href} answered ${response.status} ${response.statusText}.`);
  return response.text();
}
