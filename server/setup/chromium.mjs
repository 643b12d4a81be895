import fs from "node:fs";
import { aptInstall } from "./apt.mjs";
import { SetupError } from "./report.mjs";

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/opt/google/chrome/chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/**
 * The browser for the browser tests: CHROMIUM, or the one of the system, installed where apt allows.
 * @returns {Promise<string>} path of its program
 */
export async function installChromium() {
  const given = process.env.CHROMIUM;
  if (given) {
    if (!fs.existsSync(given)) throw new SetupError(`CHROMIUM is ${given}, and there is no such file.`);
    return given;
  }
  const present = installed();
  if (present !== undefined) return present;
  await aptInstall(["chromium"], "A browser for the browser tests");
  const now = installed();
  if (now === undefined)
    throw new SetupError("Chromium was installed, but is not in its usual place; set CHROMIUM.");
  return now;
}

function installed() {
  return places.find((file) => fs.existsSync(file));
}
