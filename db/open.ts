import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import * as schema from "./schema.ts";

/**
 * Two clients on one database. `drizzle()` changes the JSON serialisers of the postgres.js client it is given,
 * so raw statements, LISTEN and NOTIFY go through a client of their own.
 */
export interface OpenedDatabase {
  db: ReturnType<typeof drizzle<typeof schema, postgres.Sql>>;
  sql: postgres.Sql;
  /** Ends both clients; statements under way get five seconds. */
  close(): Promise<void>;
}

export interface OpenDatabaseOptions {
  /** Connections of the Drizzle client. */
  connections?: number;
  /** Shown in pg_stat_activity. */
  name?: string;
}

/** Connects lazily: nothing is sent before the first statement, and lost connections are made anew. */
export function openDatabase(url: string, options: OpenDatabaseOptions = {}): OpenedDatabase {
  const { connections = 8, name = "facet" } = options;
  const shared = {
    connect_timeout: 10,
    connection: { application_name: name },
    onnotice: () => undefined,
  } as const;
  const client = postgres(url, { ...shared, max: connections });
  const sql = postgres(url, { ...shared, max: 3 });
  return {
    db: drizzle({ client, schema }),
    sql,
    close: async () => {
      await Promise.all([client.end({ timeout: 5 }), sql.end({ timeout: 5 })]);
    },
  };
}
