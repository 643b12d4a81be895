import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import { migrateDatabase } from "../../db/migrate.ts";

export interface FreshDatabase {
  url: string;
  drop(): Promise<void>;
}

/** A migrated database of its own on the project's server, so that no test file sees another's rows. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const database = await emptyDatabase();
  await migrateDatabase(database.url);
  return database;
}

/** A database without tables. */
export async function emptyDatabase(): Promise<FreshDatabase> {
  const server = inject("postgresUrl");
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const url = new URL(server);
  url.pathname = `/${name}`;
  await onServer(server, (sql) => sql`create database ${sql(name)}`);
  return {
    url: url.href,
    drop: () => onServer(server, (sql) => sql`drop database ${sql(name)} with (force)`),
  };
}

async function onServer(url: string, statement: (sql: postgres.Sql) => PromiseLike<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await statement(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}
