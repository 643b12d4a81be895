import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { buildStudio, nextProgram } from "./build.mjs";
import { installChromium } from "./chromium.mjs";
import { installPackages } from "./install.mjs";
import { root, runHere, runScript, SetupError, seconds } from "./report.mjs";
import { installVulkan } from "./software-vulkan.mjs";

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/**
 * `failures` are the names of failed tests.
 * @typedef {Counts & { failures: string[] }} Outcome
 */
/** @typedef {{ name: string, run: () => Outcome | Promise<Outcome> }} Step */

const reports = fs.mkdtempSync(path.join(os.tmpdir(), "facet-test-reports-"));
const program = (/** @type {string} */ file) => path.join(root, "node_modules", file);

await runScript(async () => {
  await installPackages();
  await installVulkan();
  process.env.CHROMIUM = await installChromium();
});
forgetSettings();

/**
 * Cheap checks first; `npm start` itself is among the integration tests, so the build precedes them. Each runs whatever
 * became of the others, so that one run tells all.
 */
/** @type {Step[]} */
const steps = [
  {
    name: "lint and format",
    run: () => check(process.execPath, [program("@biomejs/biome/bin/biome"), "check", "."]),
  },
  { name: "unused code", run: () => check(process.execPath, [program("knip/bin/knip.js")]) },
  { name: "types", run: checkTypes },
  { name: "unit tests", run: () => vitest("unit") },
  { name: "GPU tests", run: () => vitest("gpu") },
  { name: "production build", run: build },
  { name: "integration tests", run: () => vitest("integration") },
  { name: "browser tests", run: playwright },
];

const total = { passed: 0, failed: 0, skipped: 0 };
const table = [];
/** @type {string[]} */
const failures = [];
for (const { name, run } of steps) {
  console.log(`\n── ${name}`);
  const start = performance.now();
  const outcome = await run();
  table.push({ step: name, ...outcome, seconds: seconds(start) });
  failures.push(...outcome.failures);
  total.passed += outcome.passed;
  total.failed += outcome.failed;
  total.skipped += outcome.skipped;
}
fs.rmSync(reports, { recursive: true, force: true });

console.log("");
for (const row of table) {
  const skipped = row.skipped > 0 ? `, ${row.skipped} skipped` : "";
  console.log(
    `${row.step.padEnd(20)}${String(row.passed).padStart(5)} passed, ${row.failed} failed${skipped}  ${row.seconds} s`,
  );
}
console.log("");
for (const name of failures) console.log(`failed: ${name}`);
console.log(
  `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`,
);
process.exitCode = total.failed > 0 ? 1 : 0;

/** A person's settings for `npm start` must not lead the tests to that person's database or home. */
function forgetSettings() {
  const kept = new Set(["FACET_ADAPTER"]);
  for (const name of Object.keys(process.env)) {
    const ours = name.startsWith("FACET_") || ["DATABASE_URL", "HOST", "PORT"].includes(name);
    if (ours && !kept.has(name)) delete process.env[name];
  }
  process.env.NEXT_TELEMETRY_DISABLED = "1";
}

/** @param {boolean} good @returns {Outcome} */
function single(good) {
  return { passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: 0, failures: [] };
}

/** @param {string} command @param {string[]} words */
function check(command, words) {
  return single(runHere(command, words) === 0);
}

/** Next.js writes the types of its routes; old ones would be checked against files that are gone. */
function checkTypes() {
  for (const folder of [".next/types", ".next/dev/types"]) {
    fs.rmSync(path.join(root, folder), { recursive: true, force: true });
  }
  const generated = runHere(process.execPath, [nextProgram, "typegen"]) === 0;
  return single(generated && runHere(process.execPath, [program("typescript/bin/tsc"), "--noEmit"]) === 0);
}

/** @param {string} project @returns {Outcome} */
function vitest(project) {
  const file = path.join(reports, `${project}.json`);
  const words = [
    program("vitest/vitest.mjs"),
    "run",
    `--project=${project}`,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${file}`,
  ];
  const status = runHere(process.execPath, words);
  const report = readReport(file);
  const counts = counted(status, {
    passed: report?.numPassedTests ?? 0,
    failed: report?.numFailedTests ?? 0,
    skipped: (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0),
  });
  return { ...counts, failures: failedOfVitest(report) };
}

/** @returns {Outcome} */
function playwright() {
  const file = path.join(reports, "playwright.json");
  const words = [program("@playwright/test/cli.js"), "test", "--reporter=list,json"];
  const status = runHere(process.execPath, words, { PLAYWRIGHT_JSON_OUTPUT_NAME: file });
  const report = readReport(file);
  const stats = report?.stats;
  const counts = counted(status, {
    passed: (stats?.expected ?? 0) + (stats?.flaky ?? 0),
    failed: stats?.unexpected ?? 0,
    skipped: stats?.skipped ?? 0,
  });
  return { ...counts, failures: failedOfPlaywright(report?.suites ?? []) };
}

/** @param {any} report @returns {string[]} */
function failedOfVitest(report) {
  return (report?.testResults ?? []).flatMap((/** @type {any} */ { name, status, assertionResults }) => {
    const file = path.relative(root, name);
    const failed = assertionResults.filter((/** @type {any} */ result) => result.status === "failed");
    if (failed.length === 0 && status === "failed") return [file];
    return failed.map((/** @type {any} */ result) => `${file}: ${result.fullName}`);
  });
}

/** @param {any[]} suites @returns {string[]} */
function failedOfPlaywright(suites) {
  return suites.flatMap(({ file, specs, suites: within }) => [
    ...specs
      .filter((/** @type {any} */ spec) => !spec.ok)
      .map((/** @type {any} */ spec) => `tests/e2e/${file}: ${spec.title}`),
    ...failedOfPlaywright(within ?? []),
  ]);
}

/**
 * A runner that fails without a failed test (a file that does not load, no file at all) counts as one.
 * @param {number} status @param {Counts} counts @returns {Counts}
 */
function counted(status, counts) {
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** @param {string} file */
function readReport(file) {
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : null;
}

async function build() {
  try {
    await buildStudio();
    return single(true);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    return single(false);
  }
}
