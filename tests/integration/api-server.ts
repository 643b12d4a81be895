import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { workers } from "../../db/schema.ts";
import { environment } from "../../server/environment.ts";
import type { CreateRunInput } from "../../server/runs/check.ts";
import { openServices, type Services } from "../../server/services.ts";
import { freshDatabase } from "./database.ts";

export interface TestServices {
  services: Services;
  close(): Promise<void>;
}

/** The services as a web process has them, on a database and in a home folder of their own. */
export async function testServices(variables: Record<string, string> = {}): Promise<TestServices> {
  const database = await freshDatabase();
  const home = await mkdtemp(path.join(os.tmpdir(), "facet-home-"));
  const services = await openServices(
    environment({ FACET_HOME: home, DATABASE_URL: database.url, ...variables }),
  );
  return {
    services,
    async close() {
      await services.close();
      await database.drop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

export function syntheticRun(name: string, config: Partial<CreateRunInput["config"]> = {}): CreateRunInput {
  return {
    name,
    source: { kind: "synthetic", synthetic: {} },
    config: { d_in: 32, d_sae: 64, k: 4, ...config },
  };
}

/** A row for a worker that stays alive for an hour without beating, however slow the machine. */
export async function addWorker(services: Services, host = "test-host"): Promise<string> {
  const [row] = await services.db
    .insert(workers)
    .values({
      host,
      pid: process.pid,
      adapter: "Test adapter",
      software: true,
      heartbeat_at: new Date(Date.now() + 3_600_000),
    })
    .returning({ id: workers.id });
  return row!.id;
}

export function metricsRow(step: number, overrides: Partial<Record<string, number>> = {}) {
  return {
    step,
    tokens: step * 4_096,
    loss: 1 / (step + 1),
    mse_loss: 1 / (step + 1),
    sparsity_loss: 0,
    aux_loss: 0,
    l0: 4,
    explained_variance: 1 - 1 / (step + 1),
    fvu: 1 / (step + 1),
    dead_features: 0,
    grad_norm: 0.5,
    lr: 3e-4,
    sparsity_coefficient: 0,
    tokens_per_second: 40_960,
    gpu_bytes: 1_000_000,
    ...overrides,
  };
}
