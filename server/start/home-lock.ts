import { realpathSync } from "node:fs";
import { hostname } from "node:os";
import { type SessionLock, takeSessionLock } from "../../db/session-lock.ts";

/** Someone else serves this home folder. */
export class HomeInUseError extends Error {
  override readonly name = "HomeInUseError";
  constructor(home: string, holder: string | null) {
    super(
      `Facet already runs on ${home}${holder === null ? "" : ` (${holder})`}. Stop it first, or set FACET_HOME and PORT to others.`,
    );
  }
}

/**
 * One `npm start` per home folder and machine. `studio`, the URL, is shown to whoever finds it taken.
 * @throws HomeInUseError
 */
export async function lockHome(databaseUrl: string, home: string, studio: string): Promise<SessionLock> {
  const lock = await takeSessionLock(databaseUrl, {
    key: `facet home ${hostname()} ${realpathSync(home)}`,
    holder: `process ${process.pid}, ${studio}`,
  });
  if ("takenBy" in lock) throw new HomeInUseError(home, lock.takenBy);
  return lock;
}
