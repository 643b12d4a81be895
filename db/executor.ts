import type { PgDatabase } from "drizzle-orm/pg-core";
import type { PostgresJsQueryResultHKT } from "drizzle-orm/postgres-js";
import type * as schema from "./schema.ts";

/** What can run statements: the database handle or a transaction of it. */
export type Executor = PgDatabase<PostgresJsQueryResultHKT, typeof schema>;
