import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import path from "node:path";
import { z } from "zod";

/** Every setting Facet reads, as it stands after validation. */
export interface Environment {
  /** Absolute path of the folder that holds everything Facet stores. */
  home: string;
  host: string;
  port: number;
  /** Null: the embedded database in the home folder is used. */
  database_url: string | null;
  database: "embedded" | "external";
  adapter: string | null;
  /** As given; `accessToken` decides whether one is needed and makes it. */
  token: string | null;
  sample: boolean;
  /** Null: the default of FACET_IMPORT_ROOTS. */
  import_roots: string[] | null;
  upload_limit_bytes: number;
  allowed_hosts: string[];
  hub_url: string;
  hub_token: string | null;
  /** Null: the default of FACET_HUB_HOSTS. */
  hub_hosts: string[] | null;
  download_limit_bytes: number;
}

interface Setting {
  name: string;
  default: string;
  help: string;
  /** Set by Facet's own processes for each other, so left out of the README's table. */
  internal?: true;
}

/** The one table of settings: name, default, meaning. The README's table is made from it. */
export const settings: readonly Setting[] = [
  {
    name: "FACET_HOME",
    default: "./.facet",
    help: "Folder for the embedded database, activation sets, runs and logs.",
  },
  {
    name: "HOST",
    default: "127.0.0.1",
    help: "Address the studio listens on. Any other than loopback requires a token.",
  },
  {
    name: "PORT",
    default: "3000",
    help: "Port of the studio; the command line looks for the server there too.",
  },
  {
    name: "DATABASE_URL",
    default: "(embedded)",
    help: "postgres:// URL of a PostgreSQL 13 or newer; no embedded database is started then.",
  },
  {
    name: "FACET_ADAPTER",
    default: "(best hardware adapter)",
    help: 'GPU adapter of the worker: "software", or a part of the adapter\'s name.',
  },
  {
    name: "FACET_TOKEN",
    default: "(made when HOST is not loopback)",
    help: "Secret of at least 16 characters that pages, API and streams ask for. Made and kept in FACET_HOME/token when needed.",
  },
  {
    name: "FACET_SAMPLE",
    default: "1",
    help: "0: do not make the sample run on a new database.",
  },
  {
    name: "FACET_IMPORT_ROOTS",
    default: "(any path on loopback, else FACET_HOME/imports)",
    help: "Folders, separated by colons, from which activation files may be imported by path.",
  },
  {
    name: "FACET_UPLOAD_LIMIT_BYTES",
    default: "68719476736",
    help: "Largest activation file that may be uploaded.",
  },
  {
    name: "FACET_ALLOWED_HOSTS",
    default: "(none)",
    help: "Further host names, separated by commas, by which the studio may be addressed; IP addresses, localhost and the machine's name always may.",
  },
  {
    name: "FACET_HUB_URL",
    default: "https://huggingface.co",
    help: "Hub that models and datasets are imported from by name.",
  },
  {
    name: "FACET_HUB_TOKEN",
    default: "(HF_TOKEN)",
    help: "Token for gated and private repositories. It is sent to the hub alone, and kept nowhere.",
  },
  {
    name: "FACET_HUB_HOSTS",
    default: "(*.hf.co,*.huggingface.co for huggingface.co, else none)",
    help: "Hosts, separated by commas, to which the hub may redirect downloads besides itself: host, host:port or *.domain.",
  },
  {
    name: "FACET_DOWNLOAD_LIMIT_BYTES",
    default: "68719476736",
    help: "Most bytes that one import may download.",
  },
  {
    name: "FACET_DATABASE",
    default: "external",
    help: "Whether DATABASE_URL is the embedded database.",
    internal: true,
  },
];

/** A setting that cannot be used; the message lists all of them, one a line. */
export class EnvironmentError extends Error {
  override readonly name = "EnvironmentError";
  readonly faults: string[];
  constructor(faults: string[]) {
    super(`Settings cannot be used:\n${faults.map((fault) => `  ${fault}`).join("\n")}`);
    this.faults = faults;
  }
}

const blankIsUnset = (value: unknown) => (value === "" ? undefined : value);
const text = z.preprocess(blankIsUnset, z.string().optional());
const flag = (fallback: boolean) =>
  z.preprocess(
    blankIsUnset,
    z
      .enum(["0", "1", "false", "true"], "must be 0 or 1")
      .optional()
      .transform((value) => (value === undefined ? fallback : value === "1" || value === "true")),
  );
const integer = (fallback: number, min: number, max: number) =>
  z.preprocess(
    blankIsUnset,
    z.coerce
      .number(`must be a whole number between ${min} and ${max}`)
      .int(`must be a whole number between ${min} and ${max}`)
      .min(min, `must be a whole number between ${min} and ${max}`)
      .max(max, `must be a whole number between ${min} and ${max}`)
      .default(fallback),
  );
const list = (separator: string) =>
  text.transform((value) =>
    value === undefined ? null : value.split(separator).filter((part) => part !== ""),
  );

/** It goes into a header, where a line break would begin another one. */
const hubToken = z.preprocess(
  blankIsUnset,
  z
    .string()
    .trim()
    .regex(/^[!-~]+$/, "may hold only visible ASCII characters, without spaces")
    .optional(),
);

const schema = z.object({
  FACET_HOME: text,
  HOST: text,
  PORT: integer(3000, 1, 65_535),
  DATABASE_URL: z.preprocess(
    blankIsUnset,
    z
      .string()
      .regex(/^postgres(ql)?:\/\//, "must start with postgres:// or postgresql://")
      .optional(),
  ),
  FACET_ADAPTER: text,
  FACET_TOKEN: z.preprocess(
    blankIsUnset,
    z
      .string()
      .min(16, "must have at least 16 characters")
      .regex(/^[\w.~-]+$/, "may hold only letters, digits and . _ ~ -")
      .optional(),
  ),
  FACET_SAMPLE: flag(true),
  FACET_IMPORT_ROOTS: list(":"),
  FACET_UPLOAD_LIMIT_BYTES: integer(64 * 1024 ** 3, 1, Number.MAX_SAFE_INTEGER),
  FACET_ALLOWED_HOSTS: list(","),
  FACET_HUB_URL: z.preprocess(
    blankIsUnset,
    z
      .string()
      .regex(
        /^https?:\/\/[^/?#@\s]+(\/[^?#@\s]*)?$/,
        "must be an http:// or https:// address, without user, ? and #",
      )
      .refine((url) => URL.canParse(url), "must be an http:// or https:// address, without user, ? and #")
      .default("https://huggingface.co"),
  ),
  FACET_HUB_TOKEN: hubToken,
  HF_TOKEN: hubToken,
  FACET_HUB_HOSTS: list(","),
  FACET_DOWNLOAD_LIMIT_BYTES: integer(64 * 1024 ** 3, 1, Number.MAX_SAFE_INTEGER),
  FACET_DATABASE: z.preprocess(blankIsUnset, z.enum(["embedded", "external"]).optional()),
});

/**
 * Reads and validates the settings. Throws `EnvironmentError` naming every bad one. Values are never part of a
 * message: three of them are secrets.
 */
export function environment(variables: Record<string, string | undefined> = process.env): Environment {
  const parsed = schema.safeParse(variables);
  if (!parsed.success) {
    throw new EnvironmentError(
      parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}.`),
    );
  }
  const read = parsed.data;
  return {
    // The bundler would otherwise take the whole project for a part of the server.
    home: path.resolve(/*turbopackIgnore: true*/ read.FACET_HOME ?? ".facet"),
    host: read.HOST ?? "127.0.0.1",
    port: read.PORT,
    database_url: read.DATABASE_URL ?? null,
    database: read.FACET_DATABASE ?? (read.DATABASE_URL === undefined ? "embedded" : "external"),
    adapter: read.FACET_ADAPTER ?? null,
    token: read.FACET_TOKEN ?? null,
    sample: read.FACET_SAMPLE,
    import_roots:
      read.FACET_IMPORT_ROOTS?.map((root) => path.resolve(/*turbopackIgnore: true*/ root)) ?? null,
    upload_limit_bytes: read.FACET_UPLOAD_LIMIT_BYTES,
    allowed_hosts: (read.FACET_ALLOWED_HOSTS ?? []).map((host) => host.trim().toLowerCase()),
    hub_url: read.FACET_HUB_URL,
    hub_token: read.FACET_HUB_TOKEN ?? read.HF_TOKEN ?? null,
    hub_hosts: read.FACET_HUB_HOSTS?.map((host) => host.trim().toLowerCase()) ?? null,
    download_limit_bytes: read.FACET_DOWNLOAD_LIMIT_BYTES,
  };
}

/** True when only this machine can reach an address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * The token that a request must carry, or null when none is needed (loopback and none set). When one is needed and
 * not given, it is made once and kept in FACET_HOME/token, readable by its owner only; concurrent callers agree.
 */
export function accessToken(env: Environment): string | null {
  if (env.token !== null) return env.token;
  if (isLoopback(env.host)) return null;
  const file = path.join(env.home, "token");
  mkdirSync(env.home, { recursive: true });
  try {
    const handle = openSync(file, "wx", 0o600);
    try {
      writeSync(handle, `${randomBytes(24).toString("base64url")}\n`);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  return storedToken(env.home);
}

/** The token kept in a home folder, or null where there is none. */
export function storedToken(home: string): string | null {
  try {
    const token = readFileSync(path.join(home, "token"), "utf8").trim();
    return token === "" ? null : token;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
