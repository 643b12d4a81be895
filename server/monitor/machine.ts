import { z } from "zod";
import type { Monitor } from "./monitor.ts";
import { type MachineReading, warningsOf } from "./readings.ts";

export const machineInput = z.object({
  /** Time of the newest reading that is known; null for the whole last hour. */
  since: z.iso.datetime().nullable().default(null),
});

/** Readings of the machine that the server runs on, oldest first, and what to know of the newest. */
export function machineReadings(
  monitor: Monitor,
  { since }: z.output<typeof machineInput>,
): { readings: MachineReading[]; warnings: string[] } {
  const newest = monitor.since(null).at(-1);
  return { readings: monitor.since(since), warnings: newest === undefined ? [] : warningsOf(newest) };
}
