import { z } from "zod";
import type { Executor } from "../../db/executor.ts";
import { NotFoundError } from "../errors.ts";
import { getRun } from "./get.ts";
import { readEvents } from "./read.ts";
import type { RunSignals } from "./signals.ts";
import type { LiveMessage, RunEvent } from "./views.ts";

/** Rows read at a time: a subscriber far behind is served in pieces and holds little memory. */
const pageRows = 500;

export const liveInput = z.object({
  id: z.uuid(),
  /** Number of the last message seen; without it the stream begins with a snapshot. */
  lastEventId: z.coerce.number().int().min(0).nullish(),
});

/**
 * A snapshot (only without a last number), then every event after it, numbered, none lost and none twice. Ends when
 * the run is deleted. Nothing is read before the consumer has taken what was read before.
 */
export async function* liveRun(
  db: Executor,
  signals: RunSignals,
  input: z.output<typeof liveInput>,
  signal: AbortSignal,
): AsyncGenerator<{ seq: number; message: LiveMessage }> {
  const wakeups = signals.subscribe(input.id, signal);
  let seq = input.lastEventId ?? null;
  if (seq === null) {
    const run = await getRun(db, { id: input.id });
    seq = run.seq;
    yield { seq, message: { type: "snapshot", run } };
  }
  do {
    for (;;) {
      const page = await readEvents(db, input.id, seq, pageRows);
      if (page === null) return;
      for (const event of page.events) yield { seq: event.seq, message: event };
      seq = page.seq;
      if (page.complete || signal.aborted) break;
    }
  } while (await wakeups.next());
}

export const pollInput = z.object({ id: z.uuid(), after: z.number().int().min(0) });

/** The events after a number, for where streams are cut off; ask again from `seq`. */
export async function pollRun(
  db: Executor,
  input: z.output<typeof pollInput>,
): Promise<{ events: RunEvent[]; seq: number }> {
  const page = await readEvents(db, input.id, input.after, pageRows);
  if (page === null) throw new NotFoundError("run", input.id);
  return { events: page.events, seq: page.seq };
}
