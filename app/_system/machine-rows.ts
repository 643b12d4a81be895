import type { inferRouterOutputs } from "@trpc/server";
import type { AppRouter } from "../../server/api/router.ts";
import { formatBytes, formatPercent, noValue } from "../_ui/format.ts";

export type MachineReading = inferRouterOutputs<AppRouter>["system"]["machine"]["readings"][number];

/** One thing that is watched. */
export interface MachineRow {
  name: string;
  /** Newest value in words. */
  text: string;
  /** In [0, 1]; null where there is none. */
  of(reading: MachineReading): number | null;
}

/** Degrees at the upper edge of a temperature's line. */
const hottest = 100;

const share = (part: number | null | undefined, whole: number | null | undefined) =>
  part === null || part === undefined || !whole ? null : part / whole;

/** What the newest reading tells of, and nothing that it does not tell. */
export function machineRows(newest: MachineReading): MachineRow[] {
  const used = (part: number, whole: number) => `${formatBytes(part)} of ${formatBytes(whole)}`;
  return [
    {
      name: "CPU",
      text: newest.cpu_load === null ? noValue : formatPercent(newest.cpu_load, 0),
      of: ({ cpu_load }) => cpu_load,
    },
    {
      name: "Memory",
      text: used(newest.memory_used, newest.memory_total),
      of: ({ memory_used, memory_total }) => share(memory_used, memory_total),
    },
    {
      name: "Disk",
      text: used(newest.disk_used, newest.disk_total),
      of: ({ disk_used, disk_total }) => share(disk_used, disk_total),
    },
    ...newest.gpus.flatMap((gpu, index): MachineRow[] => {
      const rows: MachineRow[] = [];
      if (gpu.load !== null) {
        const power = gpu.power_watts === null ? "" : `, ${gpu.power_watts.toPrecision(3)} W`;
        const of = ({ gpus }: MachineReading) => gpus[index]?.load ?? null;
        rows.push({ name: gpu.name, text: `${formatPercent(gpu.load, 0)}${power}`, of });
      }
      if (gpu.memory_used !== null && gpu.memory_total !== null) {
        rows.push({
          name: `${gpu.name}, memory`,
          text: used(gpu.memory_used, gpu.memory_total),
          of: ({ gpus }) => share(gpus[index]?.memory_used, gpus[index]?.memory_total),
        });
      }
      if (gpu.temperature_celsius !== null) {
        rows.push({
          name: `${gpu.name}, temperature`,
          text: `${Math.round(gpu.temperature_celsius)} °C${gpu.throttled === true ? ", throttled" : ""}`,
          of: ({ gpus }) => share(gpus[index]?.temperature_celsius, hottest),
        });
      }
      return rows;
    }),
  ];
}
