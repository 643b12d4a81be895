import type { Environment } from "../environment.ts";

/** How long the hub is waited for. */
export interface HubPatience {
  /** A connection that brings nothing for so long is given up and made anew. */
  stall_ms: number;
  /** Pause after the first failure; it doubles with each that follows at once, to 64 times this. */
  backoff_ms: number;
  /** Failures in a row, without a megabyte between them, until it is given up. */
  failures: number;
  /** Longest wait that the hub may ask for at a time. */
  longest_wait_ms: number;
  /** Waits that the hub may ask for, a file. */
  waits: number;
}

/** A hub that speaks Hugging Face's protocol, and what may be had from it. */
export interface HubOptions {
  /** http(s) address without a slash at its end. */
  url: string;
  /** Sent to the hub's own origin alone, never to the hosts that it redirects to. */
  token: string | null;
  /** Hosts that downloads may be redirected to, besides the hub's own: `host`, `host:port` or `*.domain`. */
  hosts: readonly string[];
  /** Most bytes of one download: a file, or all files of an import. */
  limit_bytes: number;
  patience: HubPatience;
}

export const defaultPatience: HubPatience = {
  stall_ms: 30_000,
  backoff_ms: 500,
  failures: 8,
  longest_wait_ms: 10 * 60_000,
  waits: 20,
};

/**
 * Where huggingface.co keeps large files. Which hosts these are changes (huggingface.co/.well-known/meta.json lists
 * them), but all are below its two domains.
 */
const contentHosts: readonly string[] = ["*.hf.co", "*.huggingface.co"];

export function hubOptions(env: Environment): HubOptions {
  const known = new URL(env.hub_url).host === "huggingface.co" ? contentHosts : [];
  return {
    url: env.hub_url.replace(/\/+$/, ""),
    token: env.hub_token,
    hosts: env.hub_hosts ?? known,
    limit_bytes: env.download_limit_bytes,
    patience: defaultPatience,
  };
}
