import type { Invocation } from "./commands.ts";
import { table } from "./format.ts";

export async function status({ client, output, json }: Invocation): Promise<void> {
  const system = await client.api.system.status.query();
  if (json) {
    output.out(JSON.stringify(system));
    return;
  }
  output.out(`Facet ${system.version}, ${system.database} database, home ${system.home}`);
  if (system.workers.length === 0) output.out("No workers.");
  const rows = system.workers.map((worker) => [
    worker.host,
    String(worker.pid),
    worker.status,
    `${worker.adapter ?? "opening its device"}${worker.software === true ? " (software)" : ""}`,
    worker.run_id ?? "",
  ]);
  if (rows.length > 0) {
    for (const line of table(["host", "pid", "status", "adapter", "run"], rows)) output.out(line);
  }
}
