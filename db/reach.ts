import postgres from "postgres";

/** The server of DATABASE_URL does not let us in; the message is all that a person needs, and holds no password. */
export class DatabaseUnreachableError extends Error {
  override readonly name = "DatabaseUnreachableError";
  constructor(url: string, cause: unknown) {
    const { hostname, port, pathname } = new URL(url);
    const why = cause instanceof Error && cause.message !== "" ? cause.message : String(cause);
    super(
      `The database ${pathname.slice(1) || "of DATABASE_URL"} on ${hostname}:${port || "5432"} cannot be used: ${why}. Check DATABASE_URL and the server, or unset it to use the embedded database.`,
      { cause },
    );
  }
}

/** Logs in once. Throws `DatabaseUnreachableError` with the server's, or the system's, reason. */
export async function assertReachable(url: string): Promise<void> {
  const client = postgres(url, { max: 1, connect_timeout: 10, onnotice: () => undefined });
  try {
    await client`select 1`;
  } catch (error) {
    throw new DatabaseUnreachableError(url, error);
  } finally {
    await client.end({ timeout: 1 });
  }
}
