import { and, desc, eq, gt, inArray, isNull, sql } from "drizzle-orm";
import { runs, workers } from "../db/schema.ts";
import type { Capabilities } from "../gpu/device/gpu.ts";
import packageJson from "../package.json" with { type: "json" };
import { workerSilenceSeconds } from "./runs/reaper.ts";
import { heldStatuses } from "./runs/state-machine.ts";
import type { Services } from "./services.ts";

export interface WorkerView {
  id: string;
  host: string;
  pid: number;
  /** Null until the worker has opened its device. */
  adapter: string | null;
  software: boolean | null;
  capabilities: Capabilities | null;
  /** Bytes that a run may take on its device. */
  memory_bytes: number | null;
  status: "idle" | "busy" | "dead";
  run_id: string | null;
  heartbeat_at: string;
}

export interface SystemStatus {
  version: string;
  /** Absolute path of FACET_HOME on the server. */
  home: string;
  database: "embedded" | "external";
  workers: WorkerView[];
}

/** Dead workers are shown for this long. */
const shownHours = 1;

/** The installation and its workers: those alive, and those that went silent lately. */
export async function systemStatus(services: Pick<Services, "db" | "env">): Promise<SystemStatus> {
  const rows = await services.db
    .select({
      worker: workers,
      run_id: runs.id,
      alive: sql<boolean>`${workers.heartbeat_at} >= now() - make_interval(secs => ${workerSilenceSeconds})`,
    })
    .from(workers)
    .leftJoin(runs, and(eq(runs.worker_id, workers.id), inArray(runs.status, [...heldStatuses])))
    .where(
      and(
        isNull(workers.stopped_at),
        gt(workers.heartbeat_at, sql`now() - make_interval(hours => ${shownHours})`),
      ),
    )
    .orderBy(desc(workers.id));
  return {
    version: packageJson.version,
    home: services.env.home,
    database: services.env.database,
    workers: rows.map(({ worker, run_id, alive }) => ({
      id: worker.id,
      host: worker.host,
      pid: worker.pid,
      adapter: worker.adapter,
      software: worker.software,
      capabilities: worker.capabilities,
      memory_bytes: worker.memory_bytes,
      status: !alive ? "dead" : run_id === null ? "idle" : "busy",
      run_id,
      heartbeat_at: worker.heartbeat_at.toISOString(),
    })),
  };
}
