import postgres from "postgres";

export interface SessionLock {
  release(): Promise<void>;
}

export interface SessionLockOptions {
  /** What is locked; any text. */
  key: string;
  /** Told to whoever finds the lock taken; 63 bytes of it. */
  holder: string;
  /** How long to try. The server may notice the death of a holder a moment late. */
  patienceMs?: number;
}

const retryMs = 200;

/**
 * A lock among all processes that use a database: it ends with the process that holds it, however that ends. After
 * the server was away it is taken again as soon as the server is back. Returns the holder's words when it is taken.
 */
export async function takeSessionLock(
  url: string,
  { key, holder, patienceMs = 0 }: SessionLockOptions,
): Promise<SessionLock | { takenBy: string | null }> {
  let released = false;
  let held = false;
  const sql = postgres(url, {
    max: 1,
    idle_timeout: 0,
    max_lifetime: null,
    connect_timeout: 10,
    connection: { application_name: holder },
    onnotice: () => undefined,
    onclose: () => {
      if (held && !released) void takeAgain();
    },
  });
  const tryOnce = async () => {
    const [row] = await sql<
      { got: boolean }[]
    >`select pg_try_advisory_lock(hashtextextended(${key}, 0)) as got`;
    return row?.got === true;
  };
  const takeAgain = async () => {
    held = false;
    while (!released && !held) {
      held = await tryOnce().catch(() => false);
      if (!held) await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  };
  const deadline = Date.now() + patienceMs;
  try {
    for (;;) {
      held = await tryOnce();
      if (held) break;
      if (Date.now() >= deadline) {
        const takenBy = await lockHolder(sql, key);
        await sql.end({ timeout: 5 });
        return { takenBy };
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  } catch (error) {
    await sql.end({ timeout: 1 });
    throw error;
  }
  return {
    release: () => {
      released = true;
      return sql.end({ timeout: 5 });
    },
  };
}

async function lockHolder(sql: postgres.Sql, key: string): Promise<string | null> {
  const [row] = await sql<{ application_name: string }[]>`
    with key as (select hashtextextended(${key}, 0) as bits)
    select application_name from key, pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objsubid = 1
      and database = (select oid from pg_database where datname = current_database())
      and classid::bigint = (bits >> 32) & 4294967295 and objid::bigint = bits & 4294967295`;
  return row?.application_name ?? null;
}
