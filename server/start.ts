import path from "node:path";
import { EmbeddedDatabaseError } from "../db/embedded/errors.ts";
import { migrateDatabase } from "../db/migrate.ts";
import { openDatabase } from "../db/open.ts";
import { DatabaseUnreachableError } from "../db/reach.ts";
import { accessToken, type Environment, EnvironmentError, environment } from "./environment.ts";
import { ensureSampleRun } from "./runs/sample.ts";
import { type Child, describeEnding, spawnChild } from "./start/child.ts";
import { openHome } from "./start/database.ts";
import { interruptions, undoAll } from "./start/ending.ts";
import { HomeInUseError } from "./start/home-lock.ts";
import { assertPortFree, PortInUseError, waitForPort } from "./start/port.ts";
import { followRun, oldestUnfinished } from "./start/progress.ts";
import { openTerminal } from "./start/terminal.ts";
import { superviseWorker } from "./start/worker.ts";

const nextProgram = path.resolve(import.meta.dirname, "../node_modules/next/dist/bin/next");
const webPatienceMs = 5_000;

/** A part that Facet cannot do without has ended. */
class WebEndedError extends Error {
  override readonly name = "WebEndedError";
}

const terminal = openTerminal();
/** Undone last to first, whether the start succeeds, fails half-way or is broken off. */
const undo: (() => Promise<void>)[] = [];
/** Ended at once when the user will not wait. */
const kills: (() => void)[] = [];
const stopping = interruptions({
  onFirst: () => terminal.line("Stopping: saving what is being trained (Ctrl-C again to stop at once) …"),
  onSecond: () => {
    for (const kill of kills) kill();
    process.exit(130);
  },
});
const stopped = new Promise<void>((resolve) => stopping.addEventListener("abort", () => resolve()));

try {
  await serve(environment());
} catch (error) {
  process.exitCode = 1;
  if (!isExpected(error)) throw error;
  terminal.endProgress();
  console.error(error.message);
} finally {
  await undoAll(undo);
  if (stopping.aborted) terminal.line("Stopped.");
}
process.exit();

/** Brings everything up and stays until it is told to stop or the web server ends. */
async function serve(env: Environment): Promise<void> {
  const startedAt = Date.now();
  const studio = studioUrl(env);
  const database = await openHome(env.home, env.database_url, studio, terminal);
  undo.push(database.stop);
  const databaseUrl = database.url;
  const token = accessToken(env);
  await assertPortFree(env.host, env.port);
  await migrateDatabase(databaseUrl);
  const opened = openDatabase(databaseUrl, { connections: 2, name: "facet start" });
  undo.push(opened.close);
  const sample = env.sample ? await ensureSampleRun(opened, databaseUrl, env.home) : null;

  const variables = { DATABASE_URL: databaseUrl, FACET_DATABASE: env.database, FACET_HOME: env.home };
  const web = startWeb(env, variables);
  const webEnded = web.ended.then((ending) => {
    if (stopping.aborted) return;
    throw new WebEndedError(`The web server ended (${describeEnding(ending, web.log)}).`);
  });
  const worker = superviseWorker(env.home, variables, terminal);
  undo.push(worker.stop);
  kills.push(worker.kill);

  await Promise.race([waitForPort(env.host, env.port, stopping), webEnded]);
  if (stopping.aborted) return;
  terminal.line(`Facet: ${token === null ? studio : `${studio}?token=${token}`}`);
  terminal.line(
    `Database: ${env.database === "embedded" ? `embedded, in ${env.home}` : "that of DATABASE_URL"}`,
  );
  terminal.line(`Started in ${((Date.now() - startedAt) / 1000).toFixed(1)} s. Ctrl-C stops everything.`);
  const shown = sample ?? (await oldestUnfinished(opened));
  const following = shown === null ? null : followRun(opened, shown, terminal, stopping);
  await Promise.race([stopped, webEnded]);
  await following;
}

function startWeb(env: Environment, variables: Record<string, string>): Child {
  const web = spawnChild({
    name: "web",
    words: [nextProgram, "start", "--hostname", env.host, "--port", String(env.port)],
    home: env.home,
    env: { ...variables, NEXT_TELEMETRY_DISABLED: "1" },
  });
  kills.push(web.kill);
  undo.push(async () => {
    web.signal("SIGTERM");
    const patience = setTimeout(web.kill, webPatienceMs);
    await web.ended;
    clearTimeout(patience);
  });
  return web;
}

function studioUrl({ host, port }: Environment): string {
  const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host;
  return `http://${shown.includes(":") ? `[${shown}]` : shown}:${port}/`;
}

/** Errors whose message is all that the user needs; any other is a fault of Facet's and shows its stack. */
function isExpected(error: unknown): error is Error {
  const kinds = [
    DatabaseUnreachableError,
    EmbeddedDatabaseError,
    EnvironmentError,
    HomeInUseError,
    PortInUseError,
    WebEndedError,
  ];
  return kinds.some((kind) => error instanceof kind);
}
