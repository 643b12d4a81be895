import { hostname } from "node:os";
import { eq, sql } from "drizzle-orm";
import type { OpenedDatabase } from "../../db/open.ts";
import { workers } from "../../db/schema.ts";
import type { Capabilities } from "../../gpu/device/gpu.ts";

export interface Registration {
  readonly id: string;
  /** Says that the worker ended in good order. */
  end(): Promise<void>;
}

const heartbeatMs = 2_000;

/** Makes this worker's row and keeps its heartbeat; a beat that fails is followed by the next. */
export async function registerWorker(
  { db }: OpenedDatabase,
  { id, capabilities, memoryBytes }: { id: string; capabilities: Capabilities; memoryBytes: number | null },
  log: (line: string) => void,
): Promise<Registration> {
  await db.insert(workers).values({
    id,
    host: hostname(),
    pid: process.pid,
    adapter: capabilities.adapter,
    software: capabilities.software,
    capabilities,
    memory_bytes: memoryBytes,
  });
  let beating = false;
  const beat = async () => {
    if (beating) return;
    beating = true;
    try {
      await db.update(workers).set({ heartbeat_at: sql`now()` }).where(eq(workers.id, id));
    } catch (error) {
      log(
        `The heartbeat did not reach the database: ${error instanceof Error ? error.message : String(error)}`,
      );
    } finally {
      beating = false;
    }
  };
  const timer = setInterval(beat, heartbeatMs);
  return {
    id,
    end: async () => {
      clearInterval(timer);
      await db.update(workers).set({ stopped_at: sql`now()` }).where(eq(workers.id, id));
    },
  };
}
