import { type OpenedDatabase, openDatabase } from "../db/open.ts";
import { sweepActivations } from "./activations/delete.ts";
import { failAbandonedImports } from "./activations/import.ts";
import { type Background, createBackground } from "./background.ts";
import { reapCaptures } from "./captures/record.ts";
import { sweepDatasets } from "./datasets/delete.ts";
import { failAbandonedDatasets } from "./datasets/register.ts";
import { accessToken, type Environment, environment } from "./environment.ts";
import { ServiceError } from "./errors.ts";
import { sweepModels } from "./models/delete.ts";
import { failAbandonedModels } from "./models/register.ts";
import { ensureSampleModel } from "./models/sample.ts";
import { type Monitor, startMonitor } from "./monitor/monitor.ts";
import { openQueue, type RunQueue } from "./queue.ts";
import { sweepTrash } from "./runs/delete.ts";
import { startReaper } from "./runs/reaper.ts";
import { openRunSignals, type RunSignals } from "./runs/signals.ts";
import { sweepSaes } from "./saes/delete.ts";
import { failAbandonedEvaluations } from "./saes/evaluate.ts";
import { failAbandonedSaeImports } from "./saes/import.ts";
import { sweepTokenizations } from "./tokens/delete.ts";
import { failAbandonedTokenizations } from "./tokens/register.ts";

/** Everything the services work with, opened once per process. */
export interface Services {
  env: Environment;
  /** Null where no token is asked for. */
  token: string | null;
  db: OpenedDatabase["db"];
  sql: OpenedDatabase["sql"];
  queue: RunQueue;
  signals: RunSignals;
  background: Background;
  monitor: Monitor;
  close(): Promise<void>;
}

/** Opens the services of a process that serves the API, with its reaper. */
export async function openServices(env: Environment): Promise<Services> {
  if (env.database_url === null) {
    throw new ServiceError(
      "unavailable",
      "DATABASE_URL is not set. Start Facet with `npm start`, which starts a database and passes its address on.",
    );
  }
  const database = openDatabase(env.database_url, { name: "facet-web" });
  const { db, sql } = database;
  try {
    const [queue, signals] = await Promise.all([
      openQueue(env.database_url, { role: "sender", onError: reportError }),
      openRunSignals(sql),
    ]);
    await sweepTrash(db, env.home);
    await sweepActivations(db, env.home);
    await sweepSaes(db, env.home);
    await sweepModels(db, env.home);
    await sweepDatasets(db, env.home);
    await sweepTokenizations(db, env.home);
    const reaper = startReaper({
      db,
      queue,
      tasks: [
        failAbandonedImports,
        failAbandonedSaeImports,
        failAbandonedEvaluations,
        failAbandonedModels,
        failAbandonedDatasets,
        failAbandonedTokenizations,
        () => reapCaptures(db, queue),
      ],
      onError: reportError,
    });
    const background = createBackground(reportError);
    const monitor = startMonitor(env.home);
    return {
      env,
      token: accessToken(env),
      db,
      sql,
      queue,
      signals,
      background,
      monitor,
      async close() {
        monitor.close();
        await background.close();
        await reaper.stop();
        await signals.close();
        await queue.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** The message alone: an error of the database driver carries its whole connection, settings included. */
function reportError(error: Error): void {
  console.error(`${error.name}: ${error.message}`);
}

declare global {
  var facetServices: Promise<Services> | undefined;
}

/**
 * The services of this process. They hang on globalThis because Next loads this module once per bundle. A failed
 * opening is tried again by the next caller.
 */
export function processServices(): Promise<Services> {
  globalThis.facetServices ??= openServices(environment())
    .then((services) => {
      const { env, background } = services;
      if (env.sample) background.start((signal) => ensureSampleModel(services, signal));
      return services;
    })
    .catch((error: unknown) => {
      globalThis.facetServices = undefined;
      throw error;
    });
  return globalThis.facetServices;
}
