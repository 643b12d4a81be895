import { mkdirSync } from "node:fs";
import { type EmbeddedDatabase, ensureDatabase } from "../../db/embedded.ts";
import { assertReachable } from "../../db/reach.ts";
import type { SessionLock } from "../../db/session-lock.ts";
import { lockHome } from "./home-lock.ts";
import type { Terminal } from "./terminal.ts";

export interface ServedDatabase {
  url: string;
  /** Gives the home folder free and stops the embedded server, also one that an earlier start left running. */
  stop(): Promise<void>;
}

const watchIntervalMs = 1_000;

/**
 * Makes this process the one that serves a home folder. The embedded database is watched from then on and started
 * again, on the same port, should the system end it.
 * @throws HomeInUseError, EmbeddedDatabaseError, DatabaseUnreachableError
 */
export async function openHome(
  home: string,
  databaseUrl: string | null,
  studio: string,
  terminal: Terminal,
): Promise<ServedDatabase> {
  if (databaseUrl !== null) {
    await assertReachable(databaseUrl);
    mkdirSync(home, { recursive: true });
    const lock = await lockHome(databaseUrl, home, studio);
    return { url: databaseUrl, stop: lock.release };
  }
  const embedded = await ensureDatabase(home);
  let lock: SessionLock;
  try {
    lock = await lockHome(embedded.url, home, studio);
  } catch (error) {
    // Unless this call started it, the server serves whoever holds the lock.
    if (embedded.owned) await embedded.stop();
    throw error;
  }
  const watch = watchServer(home, embedded, terminal);
  return {
    url: embedded.url,
    stop: async () => {
      await watch.end();
      await lock.release();
      await embedded.stop();
    },
  };
}

function watchServer(home: string, embedded: EmbeddedDatabase, terminal: Terminal): { end(): Promise<void> } {
  let checking: Promise<void> = Promise.resolve();
  const check = async () => {
    if (embedded.running()) return;
    try {
      await ensureDatabase(home);
      terminal.line("The database had ended and was started again.");
    } catch (error) {
      terminal.line(error instanceof Error ? error.message : String(error));
    }
  };
  const timer = setInterval(() => {
    checking = checking.then(check);
  }, watchIntervalMs);
  return {
    end: () => {
      clearInterval(timer);
      return checking;
    },
  };
}
