import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";

/** The machine and the software a figure belongs to. */
export interface Host {
  os: string;
  arch: string;
  cpu: string;
  cores: number;
  memory_bytes: number;
  /** One-minute load before the run: above zero, something else was using the machine. */
  load: number;
  /** Jetson's power mode; null elsewhere. */
  power_mode: string | null;
  node: string;
  packages: { facet: string; webgpu: string; wesl: string };
}

export function describeHost(): Host {
  const processors = cpus();
  return {
    os: `${type()} ${release()}`,
    arch: arch(),
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memory_bytes: totalmem(),
    load: loadavg()[0] ?? 0,
    power_mode: powerMode(),
    node: process.versions.node,
    packages: {
      facet: packageVersion("../package.json"),
      webgpu: packageVersion("../node_modules/webgpu/package.json"),
      wesl: packageVersion("../node_modules/wesl/package.json"),
    },
  };
}

function packageVersion(path: string): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest)
    return String(manifest.version);
  throw new Error(`${path} has no version.`);
}

/** Clocks, and with them every figure, depend on it. */
function powerMode(): string | null {
  if (arch() !== "arm64" || type() !== "Linux") return null;
  try {
    return execFileSync("nvpmodel", ["-q"], { encoding: "utf8" }).trim().replaceAll("\n", " ");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
