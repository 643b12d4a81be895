import path from "node:path";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";

// Any number that nothing else on the server locks; it spells "facet" in ASCII.
const migrationLock = 0x66_61_63_65_74;

/**
 * Brings the database at `url` to the newest schema; does nothing when it is there already. Web server, worker and
 * command line may all call it at once: Drizzle's migrator alone fails then, so they take turns by an advisory
 * lock, which must be held on the very connection that migrates.
 */
export async function migrateDatabase(url: string): Promise<void> {
  const client = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => undefined });
  try {
    await client`select pg_advisory_lock(${migrationLock})`;
    await migrate(drizzle({ client }), { migrationsFolder: path.join(import.meta.dirname, "migrations") });
  } finally {
    // Ending the session releases the lock.
    await client.end({ timeout: 5 });
  }
}
