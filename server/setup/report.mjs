import { spawnSync } from "node:child_process";
import path from "node:path";

/** The checkout that these scripts belong to. */
export const root = path.resolve(import.meta.dirname, "../..");

/** A failure whose message is all that a person needs; it is printed without a stack. */
export class SetupError extends Error {
  /** @override */
  name = "SetupError";
}

/**
 * Says what is being done, does it, and says how long it took.
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} work
 * @returns {Promise<T>}
 */
export async function timed(what, work) {
  const start = performance.now();
  console.log(`${what} …`);
  const result = await work();
  console.log(`${what}: done in ${seconds(start)} s`);
  return result;
}

/** @param {number} start of performance.now() */
export function seconds(start) {
  return ((performance.now() - start) / 1000).toFixed(1);
}

/**
 * Runs a program in the checkout, its output on this terminal.
 * @param {string} command
 * @param {readonly string[]} words
 * @param {Record<string, string>} [env] added to this process's
 * @returns {number} exit status; 127 when it cannot be started, 128 when a signal ended it
 */
export function runHere(command, words, env = {}) {
  const { status, error } = spawnSync(command, words, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (error !== undefined) {
    console.error(`${command}: ${error.message}`);
    return 127;
  }
  return status ?? 128;
}

/**
 * Runs the entry of a setup script; a SetupError becomes one line and exit status 1.
 * @param {() => Promise<void>} work
 */
export async function runScript(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
