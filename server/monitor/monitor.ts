import { readFile, statfs } from "node:fs/promises";
import os from "node:os";
import { readJetson } from "./jetson.ts";
import { readNvidiaSmi } from "./nvidia-smi.ts";
import type { GpuReading, MachineReading } from "./readings.ts";

const everyMs = 5_000;
const keptMs = 60 * 60_000;
/** Without an answer NVIDIA's tool is asked again after so many readings. */
const readingsBetweenAttempts = 12;

/** Readings of this machine, as long as it is not closed. */
export interface Monitor {
  /** Oldest first, of the last hour, after the time given. */
  since(at: string | null): MachineReading[];
  close(): void;
}

/** Reads the machine every five seconds and keeps the last hour. @param home Whose disk is told of. */
export function startMonitor(home: string): Monitor {
  const readings: MachineReading[] = [];
  let times = cpuTimes();
  let nvidiaAfter = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const readGpus = async (): Promise<GpuReading[]> => {
    const jetson = await readJetson();
    if (jetson !== null) return [jetson];
    if (nvidiaAfter-- > 0) return [];
    const found = await readNvidiaSmi();
    nvidiaAfter = found === null ? readingsBetweenAttempts : 0;
    return found ?? [];
  };
  const look = async () => {
    const [memory, disk, gpus] = await Promise.all([readMemory(), readDisk(home), readGpus()]);
    const now = cpuTimes();
    const total = now.total - times.total;
    const cpu_load = readings.length === 0 || total <= 0 ? null : (now.busy - times.busy) / total;
    times = now;
    readings.push({ at: new Date().toISOString(), cpu_load, ...memory, ...disk, gpus });
    const oldest = new Date(Date.now() - keptMs).toISOString();
    while (readings[0] !== undefined && readings[0].at < oldest) readings.shift();
  };
  const loop = async () => {
    // A reading that fails is missing; the next one may do.
    await look().catch(() => undefined);
    if (closed) return;
    timer = setTimeout(() => void loop(), everyMs);
    timer.unref();
  };
  void loop();
  return {
    since: (at) => (at === null ? [...readings] : readings.filter((reading) => reading.at > at)),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

function cpuTimes(): { busy: number; total: number } {
  let busy = 0;
  let total = 0;
  for (const { times } of os.cpus()) {
    const all = times.user + times.nice + times.sys + times.irq + times.idle;
    total += all;
    busy += all - times.idle;
  }
  return { busy, total };
}

/** What Linux could not give to a program any more; elsewhere what is not free. */
async function readMemory(): Promise<Pick<MachineReading, "memory_used" | "memory_total">> {
  const memory_total = os.totalmem();
  const info = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(info)?.[1];
  const free = available === undefined ? os.freemem() : Number(available) * 1024;
  return { memory_used: memory_total - free, memory_total };
}

async function readDisk(home: string): Promise<Pick<MachineReading, "disk_used" | "disk_total">> {
  const { blocks, bfree, bavail, bsize } = await statfs(home);
  const used = (blocks - bfree) * bsize;
  return { disk_used: used, disk_total: used + bavail * bsize };
}
