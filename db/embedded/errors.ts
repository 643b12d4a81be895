export type EmbeddedDatabaseFault = "platform" | "root" | "version" | "files" | "start" | "lock";

const wayOut =
  "Or set DATABASE_URL to a PostgreSQL server of your own (postgres://user:password@host:5432/database).";

/** The embedded database cannot be had; the message says why and what to do. */
export class EmbeddedDatabaseError extends Error {
  override readonly name = "EmbeddedDatabaseError";
  readonly fault: EmbeddedDatabaseFault;

  constructor(fault: EmbeddedDatabaseFault, message: string, options?: ErrorOptions) {
    super(message.endsWith(",") ? `${message} or${wayOut.slice(2)}` : `${message} ${wayOut}`, options);
    this.fault = fault;
  }
}
