/** What a GPU says of itself; null for what it does not say, never a guess. */
export interface GpuReading {
  name: string;
  /** Part of the time that it worked, in [0, 1]. */
  load: number | null;
  /** Bytes; null where the memory is the machine's own. */
  memory_used: number | null;
  memory_total: number | null;
  temperature_celsius: number | null;
  power_watts: number | null;
  /** Whether its clock is held down by heat or by power. */
  throttled: boolean | null;
}

/** One look at the machine that the server runs on. */
export interface MachineReading {
  at: string;
  /** Part of all cores' time since the reading before, in [0, 1]; null in the first. */
  cpu_load: number | null;
  /** Bytes that programs cannot get any more, of all. */
  memory_used: number;
  memory_total: number;
  /** Of the disk that holds Facet's home, for those who are not root. */
  disk_used: number;
  disk_total: number;
  gpus: GpuReading[];
}

/** Above these a reading deserves a word. */
export const thresholds = { temperature_celsius: 85, memory: 0.95, disk: 0.95 } as const;

/** What a person should know of a reading: a sentence each, with what to do. */
export function warningsOf(reading: MachineReading): string[] {
  const percent = (part: number) => `${Math.round(100 * part)} %`;
  const memory = reading.memory_used / reading.memory_total;
  const disk = reading.disk_used / reading.disk_total;
  return [
    ...(memory > thresholds.memory
      ? [`${percent(memory)} of the memory is in use; a run that asks for more may be ended by the system.`]
      : []),
    ...(disk > thresholds.disk
      ? [
          `${percent(disk)} of the disk is full; checkpoints and captures will stop when it is. Delete what is not needed.`,
        ]
      : []),
    ...reading.gpus.flatMap(({ name, temperature_celsius, throttled }) => [
      ...(temperature_celsius !== null && temperature_celsius > thresholds.temperature_celsius
        ? [`${name} is at ${Math.round(temperature_celsius)} °C; see to its cooling.`]
        : []),
      ...(throttled === true
        ? [`${name} is held below its clock by heat or power, so training is slower than it could be.`]
        : []),
    ]),
  ];
}
