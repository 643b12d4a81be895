import { spawnSync } from "node:child_process";
import { runHere, SetupError, timed } from "./report.mjs";

/**
 * Installs Debian packages, as root or through a sudo that asks no password.
 * @param {readonly string[]} packages
 * @param {string} purpose completes "… is missing: install …"
 */
export async function aptInstall(packages, purpose) {
  const list = packages.join(" ");
  const prefix = administrator();
  if (prefix === null) {
    throw new SetupError(
      `${purpose} is missing: install the packages ${list} (sudo apt-get install ${list}).`,
    );
  }
  await timed(`${purpose} is missing; installing ${list} with apt-get`, () => {
    const env = ["DEBIAN_FRONTEND=noninteractive"];
    const apt = (/** @type {string[]} */ ...words) => {
      const [command = "", ...rest] = [...prefix, "env", ...env, "apt-get", "-qq", ...words];
      return runHere(command, rest);
    };
    const failed =
      apt("update") !== 0 ||
      apt("install", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", ...packages) !== 0;
    if (failed) throw new SetupError(`apt-get could not install ${list}; its message is above.`);
  });
}

/** @returns {string[] | null} what to put before an administrator's command; null where there is no apt or no way */
function administrator() {
  if (!succeeds("apt-get", "--version")) return null;
  if (process.getuid?.() === 0) return [];
  return succeeds("sudo", "-n", "true") ? ["sudo", "-n"] : null;
}

/** @param {string} command @param {string[]} words */
function succeeds(command, ...words) {
  return spawnSync(command, words, { stdio: "ignore" }).status === 0;
}
