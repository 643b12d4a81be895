import { execFile } from "node:child_process";
import type { GpuReading } from "./readings.ts";

const fields = [
  "name",
  "utilization.gpu",
  "memory.used",
  "memory.total",
  "temperature.gpu",
  "power.draw",
  "clocks_throttle_reasons.active",
] as const;
const patienceMs = 3_000;
const mebibyte = 2 ** 20;
/** NVML's reasons that slow a GPU down: power cap, hardware slowdown, heat (software, hardware), power brake. */
const slowing = 0x4 | 0x8 | 0x20 | 0x40 | 0x80;

/** NVIDIA's GPUs as their tool tells of them; null where there is no such tool, or it does not answer. */
export function readNvidiaSmi(program = "nvidia-smi"): Promise<GpuReading[] | null> {
  const words = [`--query-gpu=${fields.join(",")}`, "--format=csv,noheader,nounits"];
  return new Promise((resolve) => {
    execFile(
      /*turbopackIgnore: true*/ program,
      words,
      { timeout: patienceMs, maxBuffer: mebibyte },
      (error, stdout) => resolve(error === null ? parseNvidiaSmi(stdout) : null),
    );
  });
}

/** Lines of CSV in the order of `fields`; "[N/A]" and "[Not Supported]" are null. */
export function parseNvidiaSmi(text: string): GpuReading[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [name = "", load, used, total, temperature, power, reasons] = line
        .split(",")
        .map((part) => part.trim());
      const mask = reasons !== undefined && /^0x[0-9a-f]+$/i.test(reasons) ? BigInt(reasons) : null;
      return {
        name,
        load: scaled(load, 0.01),
        memory_used: scaled(used, mebibyte),
        memory_total: scaled(total, mebibyte),
        temperature_celsius: scaled(temperature, 1),
        power_watts: scaled(power, 1),
        throttled: mask === null ? null : (mask & BigInt(slowing)) !== 0n,
      };
    });
}

function scaled(text: string | undefined, factor: number): number | null {
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value * factor : null;
}
