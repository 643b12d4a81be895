"use client";

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useTRPC, useTRPCClient } from "../_data/trpc.ts";
import { useVisible } from "../_data/use-visible.ts";
import { Notice } from "../_ui/notice.tsx";
import { Panel } from "../_ui/panel.tsx";
import { Skeleton } from "../_ui/skeleton.tsx";
import { machineRows } from "./machine-rows.ts";
import { Sparkline } from "./sparkline.tsx";

const refreshMs = 5_000;
const hourMs = 60 * 60_000;

/** The last hour of the machine that the server runs on; each refresh asks for what is new alone. */
function useMachine() {
  const { queryKey } = useTRPC().system.machine.queryOptions({ since: null });
  const api = useTRPCClient();
  const cache = useQueryClient();
  const visible = useVisible();
  return useQuery({
    queryKey,
    refetchInterval: visible ? refreshMs : false,
    retry: false,
    queryFn: async () => {
      const known = cache.getQueryData(queryKey)?.readings ?? [];
      const fresh = await api.system.machine.query({ since: known.at(-1)?.at ?? null });
      const oldest = new Date(Date.now() - hourMs).toISOString();
      return { ...fresh, readings: [...known, ...fresh.readings].filter(({ at }) => at > oldest) };
    },
  });
}

/** What the server's machine has left: load, memory, disk, and what its GPUs tell, over the last hour. */
export function MachinePanel() {
  const { data } = useMachine();
  const newest = data?.readings.at(-1);
  if (data === undefined || newest === undefined) return <Skeleton className="h-40" />;
  const to = Date.parse(newest.at);
  return (
    <Panel title="Machine" aside={<span className="text-xs text-ink-3">the last hour</span>}>
      {data.warnings.length > 0 ? (
        <div className="mb-3 flex flex-col gap-2">
          {data.warnings.map((warning) => (
            <Notice key={warning} tone="warn" title={warning} />
          ))}
        </div>
      ) : null}
      <div className="flex flex-col gap-3">
        {machineRows(newest).map(({ name, text, of }) => (
          <div key={name} className="grid grid-cols-[minmax(0,1fr)_minmax(0,1fr)] items-center gap-4">
            <div className="min-w-0">
              <p className="truncate text-ink-2">{name}</p>
              <p className="num">{text}</p>
            </div>
            <Sparkline
              label={`${name}: ${text}`}
              points={data.readings.map((reading) => ({ at: Date.parse(reading.at), value: of(reading) }))}
              from={to - hourMs}
              to={to}
            />
          </div>
        ))}
      </div>
    </Panel>
  );
}
