import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { patchDriver } from "./patch-driver.mjs";
import { root, SetupError, timed } from "./report.mjs";

/** Refuses a Node.js older than package.json asks for, before anything else fails in a stranger way. */
function checkNode() {
  const { engines } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  const [major = 0, minor = 0] = String(engines.node).replace(">=", "").split(".").map(Number);
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split(".").map(Number);
  if (haveMajor < major || (haveMajor === major && haveMinor < minor)) {
    throw new SetupError(
      `Facet needs Node.js ${engines.node}; this is ${process.versions.node}. Install a newer one from https://nodejs.org.`,
    );
  }
}

/** Installs the packages of package-lock.json, unless node_modules holds exactly those already. */
export async function installPackages() {
  checkNode();
  if (!packagesUpToDate()) await install();
  patchDriver();
}

async function install() {
  await timed("Installing npm packages (about a minute)", () => {
    const { status, output } = npm(["ci"]);
    if (status === 0) return;
    // `npm ci` refuses a lock that lacks packages of this platform; `npm install` completes it.
    if (output.includes("EUSAGE")) {
      console.log("package-lock.json does not cover this platform; installing with `npm install`.");
      if (npm(["install"]).status === 0) return;
    }
    throw new SetupError("npm could not install the packages; its message is above.");
  });
}

/**
 * Compares the lock with npm's own record of what it installed, which it writes last. Optional packages are those
 * of other platforms.
 */
function packagesUpToDate() {
  const wanted = readPackages(path.join(root, "package-lock.json"));
  const installed = readPackages(path.join(root, "node_modules", ".package-lock.json"));
  if (wanted === null)
    throw new SetupError("package-lock.json is missing: this is not a whole checkout of Facet.");
  if (installed === null) return false;
  return Object.entries(wanted).every(([name, entry]) => {
    if (name === "") return true;
    const found = installed[name];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, optional?: boolean }> | null}
 */
function readPackages(file) {
  if (!fs.existsSync(file)) return null;
  return JSON.parse(fs.readFileSync(file, "utf8")).packages;
}

/** @param {string[]} words */
function npm(words) {
  const given = process.env.npm_execpath;
  const [command, ...first] =
    given?.endsWith("npm-cli.js") && fs.existsSync(given) ? [process.execPath, given] : ["npm"];
  const { status, error, stdout, stderr } = spawnSync(
    /** @type {string} */ (command),
    // Builds and checks need the development packages, whatever NODE_ENV says.
    [...first, ...words, "--include=dev", "--include=optional", "--no-audit", "--no-fund"],
    { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 * 1024 * 1024 },
  );
  if (error !== undefined) throw new SetupError(`npm cannot be started: ${error.message}.`);
  process.stderr.write(stderr);
  return { status, output: stdout + stderr };
}
