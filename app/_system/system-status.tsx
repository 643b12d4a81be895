"use client";

import type { inferRouterOutputs } from "@trpc/server";
import { Cpu } from "lucide-react";
import Link from "next/link";
import type { AppRouter } from "../../server/api/router.ts";
import { LoadFailure } from "../_data/load-failure.tsx";
import { useSystemStatus } from "../_shell/connection-state.tsx";
import { classNames } from "../_ui/class-names.ts";
import { CopyText } from "../_ui/copy-text.tsx";
import { formatAge, formatBytes, formatCount } from "../_ui/format.ts";
import { Notice } from "../_ui/notice.tsx";
import { EmptyState, Fact, PageHeader, Panel } from "../_ui/panel.tsx";
import { useNow } from "../_ui/relative-time.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { MachinePanel } from "./machine-panel.tsx";

type Status = inferRouterOutputs<AppRouter>["system"]["status"];
type Worker = Status["workers"][number];

const workerLooks: Record<Worker["status"], { label: string; dot: string }> = {
  idle: { label: "Idle", dot: "bg-ok" },
  busy: { label: "Training", dot: "bg-accent pulse" },
  dead: { label: "Dead", dot: "bg-bad" },
};

function CapabilityFacts({ capabilities }: { capabilities: NonNullable<Worker["capabilities"]> }) {
  return (
    <>
      <Fact name="Vendor, architecture">
        {[capabilities.vendor, capabilities.architecture].filter(Boolean).join(", ") || "unknown"}
      </Fact>
      <Fact name="Driver">{capabilities.driver || "unknown"}</Fact>
      <Fact name="Subgroups">
        <span className="num">
          {capabilities.subgroup_min_size === capabilities.subgroup_max_size
            ? capabilities.subgroup_max_size
            : `${capabilities.subgroup_min_size}–${capabilities.subgroup_max_size}`}
        </span>
      </Fact>
      <Fact name="Subgroup matrices">
        {capabilities.subgroup_matrices.length > 0 ? (
          <span className="num text-xs">{capabilities.subgroup_matrices.join(", ")}</span>
        ) : (
          "none"
        )}
      </Fact>
      <Fact name="f16 in shaders">{capabilities.shader_f16 ? "yes" : "no"}</Fact>
      <Fact name="Timestamps">{capabilities.timestamps ? "yes" : "no"}</Fact>
      <Fact name="Largest buffer">
        <span className="num">{formatBytes(capabilities.limits.max_buffer_size)}</span>
      </Fact>
      <Fact name="Largest binding">
        <span className="num">{formatBytes(capabilities.limits.max_storage_buffer_binding_size)}</span>
      </Fact>
      <Fact name="Workgroup storage">
        <span className="num">{formatBytes(capabilities.limits.max_compute_workgroup_storage_size)}</span>
      </Fact>
      <Fact name="Invocations a workgroup">
        <span className="num">{formatCount(capabilities.limits.max_compute_invocations_per_workgroup)}</span>
      </Fact>
    </>
  );
}

function WorkerPanel({ worker }: { worker: Worker }) {
  const now = useNow(1_000);
  const look = workerLooks[worker.status];
  return (
    <Panel
      title={worker.adapter}
      aside={
        <span className="flex items-center gap-2 text-xs text-ink-2">
          <span aria-hidden className={classNames("size-1.5 rounded-full", look.dot)} />
          {look.label}
        </span>
      }
    >
      <dl>
        <Fact name="Heartbeat">
          <span className="num">{formatAge(worker.heartbeat_at, now)}</span>
        </Fact>
        <Fact name="Process">
          <span className="num">
            {worker.host}:{worker.pid}
          </span>
        </Fact>
        {worker.run_id ? (
          <Fact name="Run">
            <Link href={`/runs/${worker.run_id}`} className="text-accent underline-offset-2 hover:underline">
              Open the run it trains
            </Link>
          </Fact>
        ) : null}
        <Fact name="Kind">{worker.software ? "Software, on the CPU" : "Hardware"}</Fact>
        {worker.capabilities ? <CapabilityFacts capabilities={worker.capabilities} /> : null}
      </dl>
    </Panel>
  );
}

/** The server's own account of itself: who trains, on what, and where everything lies. */
export function SystemStatus() {
  const status = useSystemStatus();
  const { data } = status;
  const alive = data?.workers.filter((worker) => worker.status !== "dead") ?? [];
  return (
    <>
      <PageHeader title="System" />
      {status.isError && !data ? (
        <LoadFailure what="The system's status" error={status.error} onRetry={() => void status.refetch()} />
      ) : data ? (
        <div className="flex flex-col gap-4">
          {alive.length === 0 ? (
            <Notice tone="warn" title="No GPU worker is running">
              Runs wait in the queue until one starts. <code className="num">npm start</code> starts one with
              the studio; <code className="num">npm run worker</code> starts another, here or on another
              machine.
            </Notice>
          ) : null}
          <div className="grid items-start gap-4 lg:grid-cols-2">
            {data.workers.map((worker) => (
              <WorkerPanel key={worker.id} worker={worker} />
            ))}
            {data.workers.length === 0 ? (
              <Panel title="Workers" flush>
                <EmptyState icon={<Cpu aria-hidden size={22} />} title="No worker has ever reported here">
                  A worker opens a GPU, reports what it can do, and takes runs from the queue.
                </EmptyState>
              </Panel>
            ) : null}
            <MachinePanel />
            <Panel title="Server">
              <dl>
                <Fact name="Version">
                  <span className="num">{data.version}</span>
                </Fact>
                <Fact name="Home folder">
                  <CopyText label="home folder" text={data.home} />
                </Fact>
                <Fact name="Database">
                  {data.database === "embedded" ? "PostgreSQL, embedded" : "PostgreSQL, external"}
                </Fact>
              </dl>
            </Panel>
          </div>
        </div>
      ) : (
        <div className="grid gap-4 lg:grid-cols-2">
          <Skeleton className="h-96" />
          <Skeleton className="h-40" />
        </div>
      )}
    </>
  );
}
