import type { WorkProgress } from "../../db/stored.ts";
import type { Invocation } from "./commands.ts";
import { bytes, duration } from "./format.ts";

const watchMs = 500;

interface Worked {
  status: string;
  progress: WorkProgress | null;
  reason: string | null;
}

/**
 * Waits until what the server does in the background has ended, and shows how far it is: every tenth, and every change
 * of what is being done.
 */
export async function waitForWork<T extends Worked>(
  { output, json }: Invocation,
  look: () => Promise<T>,
  busy: readonly string[],
): Promise<T> {
  let shown = "";
  for (;;) {
    const found = await look();
    if (!busy.includes(found.status)) {
      if (found.status === "failed") throw new Error(found.reason ?? "It failed.");
      return found;
    }
    const { progress } = found;
    if (progress !== null && !json) {
      const tenth =
        progress.total === null || progress.total === 0
          ? 0
          : Math.floor((10 * progress.done) / progress.total);
      const mark = `${progress.stage} ${tenth}`;
      if (mark !== shown) output.out(progressLine(progress));
      shown = mark;
    }
    await new Promise((resolve) => setTimeout(resolve, watchMs));
  }
}

/** "copying … 40 %, 1.2 GB of 3.0 GB, 80.0 MB/s, 22 s left". */
export function progressLine({ stage, done, total, unit, per_second, note }: WorkProgress): string {
  const amount = (count: number) =>
    unit === "bytes" ? bytes(count) : `${Math.round(count).toLocaleString("en")} ${unit}`;
  const parts: string[] = [];
  if (total !== null && total > 0) {
    parts.push(`${Math.floor((100 * done) / total)} %`, `${amount(done)} of ${amount(total)}`);
  } else if (done > 0) parts.push(amount(done));
  if (per_second !== null && per_second > 0) {
    parts.push(`${amount(per_second)}/s`);
    if (total !== null) parts.push(`${duration((total - done) / per_second)} left`);
  }
  if (note !== null) parts.push(note);
  return `${stage} …${parts.length === 0 ? "" : ` ${parts.join(", ")}`}`;
}
