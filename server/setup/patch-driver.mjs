import fs from "node:fs";
import path from "node:path";
import { root, SetupError } from "./report.mjs";

// postgres.js 3.4.9 ends the whole process when the server goes away in the middle of a transaction: its own rollback
// is flushed to a socket that is gone by then, from a timer, where nobody can catch it. And a connection that closes
// with a write pending keeps the cancelled timer, so that it never writes again after it reconnected. Both are known
// upstream (porsager/postgres issues 1208, 1154 and pull requests 1209, 1168) and fixed here in place.

const version = "3.4.9";
const files = ["src/connection.js", "cjs/src/connection.js"];

/** @type {{ before: string, after: string, times: number }[]} */
const changes = [
  {
    times: 1,
    before: `  function nextWrite(fn) {
    const x = socket.write(chunk, fn)
    nextWriteTimer !== null && clearImmediate(nextWriteTimer)
    chunk = nextWriteTimer = null
    return x
  }
`,
    after: `  function nextWrite(fn) {
    const pending = chunk
    dropWrite()
    if (socket)
      return socket.write(pending, fn)
    error(Errors.connection('CONNECTION_CLOSED', options, socket))
    return false
  }

  function dropWrite() {
    nextWriteTimer !== null && clearImmediate(nextWriteTimer)
    chunk = nextWriteTimer = null
  }
`,
  },
  {
    // terminate() and closed().
    times: 2,
    before: "    clearImmediate(nextWriteTimer)\n",
    after: "    dropWrite()\n",
  },
];

/** Repairs the installed driver, once. A new version of it has to be looked at by a person first. */
export function patchDriver() {
  const folder = path.join(root, "node_modules", "postgres");
  const installed = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8")).version;
  if (installed !== version) {
    throw new SetupError(
      `postgres.js is ${installed}; server/setup/patch-driver.mjs knows ${version}. See whether its two faults are mended, then change or remove it.`,
    );
  }
  for (const name of files) patchFile(path.join(folder, name));
}

/** @param {string} file */
function patchFile(file) {
  let text = fs.readFileSync(file, "utf8");
  if (text.includes("function dropWrite()")) return;
  for (const { before, after, times } of changes) {
    if (text.split(before).length !== times + 1) {
      throw new SetupError(`${file} is not the file of postgres.js ${version}; run npm ci.`);
    }
    text = text.replaceAll(before, after);
  }
  // Beside it and renamed: npm may have linked the file from its cache, and readers never see half of it.
  const aside = `${file}.${process.pid}`;
  fs.writeFileSync(aside, text);
  fs.renameSync(aside, file);
}

if (process.argv[1] === import.meta.filename) patchDriver();
