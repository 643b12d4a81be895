import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { GpuReading } from "./readings.ts";

/** Names of the integrated GPU's node in the device tree. */
const gpuNodes = ["gpu", "ga10b", "gv11b", "gp10b"];

/**
 * The integrated GPU of an NVIDIA Jetson, from files that need no root: devfreq for the load (per mille), the thermal
 * zone `gpu-thermal` (thousandths of a degree), and the INA3221 rails (mV, mA), whose alarms tell of throttling.
 * Null on other machines.
 * @param root Where /sys lies.
 */
export async function readJetson(root = "/"): Promise<GpuReading | null> {
  const load = await gpuLoad(path.join(root, "sys/class/devfreq"));
  if (load === undefined) return null;
  const [model, temperature_celsius, rails] = await Promise.all([
    text(path.join(root, "sys/firmware/devicetree/base/model")),
    gpuTemperature(path.join(root, "sys/devices/virtual/thermal")),
    powerRails(path.join(root, "sys/bus/i2c/drivers/ina3221")),
  ]);
  return {
    name: model?.replaceAll("\0", "") || "NVIDIA Jetson",
    load,
    memory_used: null,
    memory_total: null,
    temperature_celsius,
    ...rails,
  };
}

/** Null where the load is not told; undefined where there is no such GPU. */
async function gpuLoad(devfreq: string): Promise<number | null | undefined> {
  for (const name of await names(devfreq)) {
    const device = path.join(devfreq, name, "device");
    const node = (await text(path.join(device, "of_node/name")))?.replaceAll("\0", "");
    if (node === undefined || !gpuNodes.includes(node)) continue;
    const load = await number(path.join(device, "load"));
    return load === null ? null : load / 1_000;
  }
  return undefined;
}

async function gpuTemperature(thermal: string): Promise<number | null> {
  for (const zone of await names(thermal)) {
    if (!zone.startsWith("thermal_zone")) continue;
    const type = await text(path.join(thermal, zone, "type"));
    if (type?.toLowerCase() !== "gpu-thermal") continue;
    const temperature = await number(path.join(thermal, zone, "temp"));
    return temperature === null ? null : temperature / 1_000;
  }
  return null;
}

/** Of the rail that feeds the GPU, else of the board's input. */
async function powerRails(driver: string): Promise<Pick<GpuReading, "power_watts" | "throttled">> {
  const watts = new Map<string, number>();
  let throttled: boolean | null = null;
  for (const device of await names(driver)) {
    const hwmon = path.join(driver, device, "hwmon");
    for (const monitor of await names(hwmon)) {
      const folder = path.join(hwmon, monitor);
      for (const file of await names(folder)) {
        const rail = /^in(\d+)_label$/.exec(file)?.[1];
        if (rail !== undefined) {
          const label = await text(path.join(folder, file));
          const volts = await number(path.join(folder, `in${rail}_input`));
          const amperes = await number(path.join(folder, `curr${rail}_input`));
          if (label !== undefined && volts !== null && amperes !== null)
            watts.set(label, (volts * amperes) / 1e6);
        }
        if (/^curr\d+_(max|crit)_alarm$/.test(file)) {
          const alarm = await number(path.join(folder, file));
          if (alarm !== null) throttled = (throttled ?? false) || alarm > 0;
        }
      }
    }
  }
  const gpu = [...watts.keys()].find((label) => label.includes("GPU"));
  const rail = gpu ?? (watts.has("VDD_IN") ? "VDD_IN" : undefined);
  return { power_watts: rail === undefined ? null : watts.get(rail)!, throttled };
}

async function names(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

async function text(file: string): Promise<string | undefined> {
  return (await readFile(file, "utf8").catch(() => undefined))?.trim();
}

async function number(file: string): Promise<number | null> {
  const value = Number.parseFloat((await text(file)) ?? "");
  return Number.isFinite(value) ? value : null;
}
