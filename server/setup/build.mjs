import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { root, runHere, SetupError, timed } from "./report.mjs";

/** All that `next build` reads: the app and what it imports, and the files that configure it. */
const inputs = [
  "app",
  "server",
  "gpu",
  "shaders",
  "db",
  "public",
  "proxy.ts",
  "next.config.ts",
  "postcss.config.mjs",
  "package-lock.json",
];
/** Parts of server/ that run beside the studio, never in it. */
const besideTheStudio = new Set(
  ["setup", "start", "start.ts", "worker", "cli"].map((name) => path.join("server", name)),
);
const buildId = path.join(root, ".next", "BUILD_ID");
const recordFile = path.join(root, ".next", "facet-sources");

/** The program of Next.js, to be run by node itself: a wrapper would leave it running when it is killed. */
export const nextProgram = path.join(root, "node_modules", "next", "dist", "bin", "next");

/** Builds the studio unless the last build was made from these very sources. */
export async function buildStudio() {
  const sources = sourcesHash();
  if (fs.existsSync(buildId) && readIfThere(recordFile) === sources) return;
  await timed("Building the studio (about half a minute)", () => {
    if (runHere(process.execPath, [nextProgram, "build"], { NEXT_TELEMETRY_DISABLED: "1" }) !== 0) {
      throw new SetupError("The studio could not be built; the message is above.");
    }
    fs.writeFileSync(recordFile, sources);
  });
}

/** Contents, not times: a checkout or a copy touches every file. */
function sourcesHash() {
  const hash = createHash("sha256").update(process.versions.node);
  for (const input of inputs) hashInto(hash, input);
  return hash.digest("hex");
}

/** @param {import("node:crypto").Hash} hash @param {string} relative */
function hashInto(hash, relative) {
  if (besideTheStudio.has(relative)) return;
  const file = path.join(root, relative);
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory()) {
    for (const name of fs.readdirSync(file).sort()) hashInto(hash, path.join(relative, name));
    return;
  }
  const content = fs.readFileSync(file);
  hash.update(`${relative}\0${content.length}\0`).update(content);
}

/** @param {string} file */
function readIfThere(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null;
}
