import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readJetson } from "../../server/monitor/jetson.ts";
import { startMonitor } from "../../server/monitor/monitor.ts";
import { parseNvidiaSmi, readNvidiaSmi } from "../../server/monitor/nvidia-smi.ts";
import { type MachineReading, warningsOf } from "../../server/monitor/readings.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), "facet-monitor-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function files(tree: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(tree)) {
    const file = path.join(root, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}

const orin = {
  "sys/class/devfreq/15340000.vic/device/of_node/name": "vic\0",
  "sys/class/devfreq/15340000.vic/device/load": "999\n",
  "sys/class/devfreq/17000000.gpu/device/of_node/name": "gpu\0",
  "sys/class/devfreq/17000000.gpu/device/load": "437\n",
  "sys/firmware/devicetree/base/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
  "sys/devices/virtual/thermal/thermal_zone0/type": "cpu-thermal\n",
  "sys/devices/virtual/thermal/thermal_zone0/temp": "90000\n",
  "sys/devices/virtual/thermal/thermal_zone1/type": "gpu-thermal\n",
  "sys/devices/virtual/thermal/thermal_zone1/temp": "51250\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_label": "VDD_IN\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in1_input": "5000\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_input": "2000\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_max_alarm": "0\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/in2_input": "5000\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr2_input": "700\n",
  "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr2_crit_alarm": "0\n",
};

describe("a Jetson", () => {
  test("tells of its GPU's load, temperature, power and throttling without root", async () => {
    await files(orin);
    expect(await readJetson(root)).toEqual({
      name: "NVIDIA Jetson Orin Nano Developer Kit",
      load: 0.437,
      memory_used: null,
      memory_total: null,
      temperature_celsius: 51.25,
      power_watts: 3.5,
      throttled: false,
    });
  });

  test("that is held down by power says so", async () => {
    await files({ ...orin, "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/curr1_max_alarm": "1\n" });
    expect((await readJetson(root))?.throttled).toBe(true);
  });

  test("without sensors leaves out what nobody told", async () => {
    await files({ "sys/class/devfreq/17000000.ga10b/device/of_node/name": "ga10b\0" });
    expect(await readJetson(root)).toMatchObject({
      name: "NVIDIA Jetson",
      load: null,
      temperature_celsius: null,
      power_watts: null,
      throttled: null,
    });
  });

  test("is not seen where there is none", async () => {
    await files({ "sys/class/devfreq/1c00000.ufs/device/of_node/name": "ufs\0" });
    expect(await readJetson(root)).toBeNull();
  });
});

describe("NVIDIA's tool", () => {
  test("is read in its units, and what it does not support is null", () => {
    const [card, board] = parseNvidiaSmi(
      "NVIDIA H100 80GB HBM3, 37, 1024, 81559, 45, 312.50, 0x0000000000000004\n" +
        "Orin (nvgpu), [N/A], [Not Supported], [N/A], [N/A], [N/A], [Not Supported]\n",
    );
    expect(card).toEqual({
      name: "NVIDIA H100 80GB HBM3",
      load: 0.37,
      memory_used: 1024 * 2 ** 20,
      memory_total: 81559 * 2 ** 20,
      temperature_celsius: 45,
      power_watts: 312.5,
      throttled: true,
    });
    expect(board).toEqual({
      name: "Orin (nvgpu)",
      load: null,
      memory_used: null,
      memory_total: null,
      temperature_celsius: null,
      power_watts: null,
      throttled: null,
    });
  });

  test("an idle clock or one that was set is no throttling", () => {
    const idle = parseNvidiaSmi("T4, 0, 1, 2, 30, 10, 0x0000000000000003\n");
    expect(idle[0]?.throttled).toBe(false);
  });

  test("that is not there, or fails, is no GPU", async () => {
    expect(await readNvidiaSmi(path.join(root, "nvidia-smi"))).toBeNull();
    const failing = path.join(root, "failing");
    await writeFile(failing, "#!/bin/sh\nexit 9\n");
    await chmod(failing, 0o755);
    expect(await readNvidiaSmi(failing)).toBeNull();
  });
});

describe("readings", () => {
  const calm: MachineReading = {
    at: "2026-01-01T00:00:00.000Z",
    cpu_load: 0.5,
    memory_used: 50,
    memory_total: 100,
    disk_used: 50,
    disk_total: 100,
    gpus: [],
  };
  const gpu = {
    name: "Orin",
    load: 1,
    memory_used: null,
    memory_total: null,
    temperature_celsius: 60,
    power_watts: 5,
    throttled: false,
  };

  test("warn of a full disk, full memory, heat and throttling, and of nothing else", () => {
    expect(warningsOf({ ...calm, gpus: [gpu] })).toEqual([]);
    expect(warningsOf({ ...calm, memory_used: 96 })).toEqual([expect.stringMatching(/^96 % of the memory/)]);
    expect(warningsOf({ ...calm, disk_used: 99 })).toEqual([expect.stringMatching(/^99 % of the disk/)]);
    expect(warningsOf({ ...calm, gpus: [{ ...gpu, temperature_celsius: 91.4, throttled: true }] })).toEqual([
      expect.stringMatching(/^Orin is at 91 °C/),
      expect.stringMatching(/^Orin is held below its clock/),
    ]);
  });

  test("of this machine come at once, and are true", async () => {
    const monitor = startMonitor(root);
    try {
      await expect.poll(() => monitor.since(null).length, { timeout: 5_000 }).toBe(1);
      const [reading] = monitor.since(null);
      expect(reading?.memory_total).toBe(os.totalmem());
      expect(reading?.memory_used).toBeGreaterThan(0);
      expect(reading?.memory_used).toBeLessThan(os.totalmem());
      expect(reading?.disk_used).toBeGreaterThan(0);
      expect(reading?.disk_used).toBeLessThanOrEqual(reading!.disk_total);
      expect(monitor.since(reading!.at)).toEqual([]);
    } finally {
      monitor.close();
    }
  });
});
